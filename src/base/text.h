// SPDX-License-Identifier: GPL-2.0-or-later
//
// Small tools for words: splitting, joining and one scanner on which every parser of the program stands,
// so that every rejection names the text, the position and the reason.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mb {

std::vector<std::string_view> split(std::string_view text, char separator);
std::string join(const std::vector<std::string>& parts, std::string_view separator);

// The one of `candidates` that was most likely meant by a mistyped `word`; empty if none is near.
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);

// Reads a text from left to right. `what` names the kind of thing that is parsed ("publish specification"), `form`
// shows a right one: the hint of every failure that has no better one.
// Every failure throws Error(usage): "'80x' is not a publish specification: unexpected 'x' at position 3".
// Positions count characters from 1.
class Scanner {
 public:
  Scanner(std::string_view what, std::string_view text, std::string_view form = {})
      : what_(what), text_(text), form_(form) {}

  bool done() const { return at_ == text_.size(); }
  char peek() const { return done() ? '\0' : text_[at_]; }
  std::size_t position() const { return at_ + 1; }
  std::string_view rest() const { return text_.substr(at_); }

  // Consumes `c` when it is next.
  bool accept(char c);
  bool accept(std::string_view word);
  void expect(char c);
  // Consumes characters up to (not including) the first of `stops`, or to the end.
  std::string_view until(std::string_view stops);
  // A decimal number without sign and without leading zeros; `name` is what is expected ("a port").
  std::uint32_t number(std::string_view name, std::uint32_t lowest, std::uint32_t highest);
  void expect_end() const;

  [[noreturn]] void fail(std::string_view reason, std::string hint = {}) const {
    fail_at(at_, reason, std::move(hint));
  }
  [[noreturn]] void fail_at(std::size_t offset, std::string_view reason, std::string hint = {}) const;
  std::size_t offset() const { return at_; }

 private:
  std::string_view what_;
  std::string_view text_;
  std::string_view form_;
  std::size_t at_ = 0;
};

// The text with everything that a terminal would act upon or that is not UTF-8 made visible (\n, \x1b …), cut after
// 80 bytes: what users typed comes back to them in error messages, and JSON takes UTF-8 only.
std::string printable(std::string_view text);

}  // namespace mb
