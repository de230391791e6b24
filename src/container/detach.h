// SPDX-License-Identifier: GPL-2.0-or-later
//
// A life of its own: a forked process outside of our session that tells its caller how its beginning went.
#pragma once

#include <cstdint>
#include <functional>

#include "netns/unique_fd.h"

namespace mb::container {

// Who waits for the beginning, seen from the process that begins.
class Caller {
 public:
  explicit Caller(netns::UniqueFd news) : news_(std::move(news)) {}

  // Throws Error when nobody waits any more.
  void expect() const;
  // Sends the caller on its way; standard error, kept until here for warnings, becomes /dev/null.
  void ready();
  // Whether it has neither been told that it is ready nor that it failed.
  bool waits() const { return static_cast<bool>(news_); }
  int fd() const { return news_.get(); }

 private:
  friend void detach(const std::function<void(Caller&)>& life, const char* who, bool orphan);
  void fail(const std::exception& error) const;
  netns::UniqueFd news_;
};

// Runs `life` and returns when it is ready; throws what it threw before. `who` names the process in an error. An orphan
// has no parent from the start: for callers that live on and would have to collect it one day.
void detach(const std::function<void(Caller&)>& life, const char* who, bool orphan = false);

}  // namespace mb::container
