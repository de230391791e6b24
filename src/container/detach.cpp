// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/container/detach.h"

#include <malloc.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <string>

#include <fmt/format.h>

#include "src/base/error.h"
#include "src/container/attend.h"
#include "src/container/descriptors.h"
#include "src/container/failure.h"

namespace mb::container {
namespace {

// The news: one byte when it is ready, else an encoded error after another byte.
constexpr char kReady = 'r';
constexpr char kFailed = 'f';

void tell(int caller, char kind, const std::string& text) {
  const std::string bytes = kind + text;
  std::size_t told = 0;
  while (told < bytes.size()) {
    const ssize_t put = ::write(caller, bytes.data() + told, bytes.size() - told);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return;  // nobody is interested any more
    told += static_cast<std::size_t>(put);
  }
}

void leave_the_session() {
  ::setsid();
  [[maybe_unused]] const int ignored = ::chdir("/");  // keep no directory busy
  const netns::UniqueFd null = open_null();
  ::dup2(null.get(), STDIN_FILENO);
  ::dup2(null.get(), STDOUT_FILENO);
}

std::string read_all(int fd) {
  std::string text;
  std::array<char, 4096> buffer;
  while (true) {
    const ssize_t got = ::read(fd, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(got));
  }
}

pid_t fork_or_throw(const char* who) {
  const pid_t pid = ::fork();
  if (pid < 0) throw system_failure(fmt::format("cannot fork {}", who), errno);
  return pid;
}

}  // namespace

void Caller::expect() const {
  pollfd entry{news_.get(), 0, 0};
  if (::poll(&entry, 1, 0) > 0 && (entry.revents & POLLERR) != 0) {
    throw Error(ErrorKind::failed, "who asked for it is gone");
  }
}

void Caller::ready() {
  drop_standard_streams();
  tell(news_.get(), kReady, {});
  news_.reset();
  ::malloc_trim(0);
}

void Caller::fail(const std::exception& error) const {
  if (news_) tell(news_.get(), kFailed, encode_error(error));
}

void detach(const std::function<void(Caller&)>& life, const char* who, bool orphan) {
  Pipe news = open_pipe();
  const pid_t child = fork_or_throw(who);
  if (child == 0) {
    news.read.reset();
    Caller caller(std::move(news.write));
    try {
      if (orphan && fork_or_throw(who) != 0) ::_exit(EXIT_SUCCESS);
      leave_the_session();
      life(caller);
    } catch (const std::exception& error) {
      caller.fail(error);
      ::_exit(EXIT_FAILURE);
    }
    ::_exit(EXIT_SUCCESS);
  }
  news.write.reset();
  // Who ignores SIGCHLD has nothing to collect.
  while (orphan && ::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  const std::string told = read_all(news.read.get());
  if (told.starts_with(kReady)) return;
  if (!orphan) reap(child);
  throw_decoded(told.empty() ? std::string_view() : std::string_view(told).substr(1));
}

}  // namespace mb::container
