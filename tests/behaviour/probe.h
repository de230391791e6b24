// SPDX-License-Identifier: GPL-2.0-or-later
//
// Tries one row with real packets.
#pragma once

#include <string>

#include "tests/behaviour/rows.h"
#include "tests/behaviour/setting.h"

namespace mb::test {

class Prober {
 public:
  explicit Prober(const Setting& setting) : setting_(setting) {}

  /// What came of it, in the words of Row::must; for what must be dropped also "passed" (something of it came by where
  /// nothing may) and "answered" (it came by nowhere, but somebody said no).
  std::string try_row(const Row& row, Family family);

 private:
  std::string outcome_in_words(const Outcome& outcome) const;
  std::string try_forbidden(const Row& row, Family family);
  Outcome speak(const Row& row, Family family, const TalkOptions& options) const;
  std::uint16_t next_port() { return next_port_++; }

  const Setting& setting_;
  std::uint16_t next_port_ = 20000;
};

/// Takes a guard away, and puts it back.
void take_away(Guard guard);
void put_back(Guard guard);

}  // namespace mb::test
