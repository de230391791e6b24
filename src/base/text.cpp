// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/base/text.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include <fmt/format.h>

#include "src/base/error.h"

namespace mb {
namespace {

// How many bytes at the beginning of `text` are one character that can be shown; 0 if none can: control characters
// (C1 too, ESC [ is one byte there) and what is not UTF-8 (overlong forms, surrogates, beyond U+10FFFF; RFC 3629).
std::size_t visible_character(std::string_view text) {
  const auto byte = [&text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return lead < 0x20 || lead == 0x7f ? 0 : 1;
  const std::size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < length) return 0;
  std::uint32_t point = lead & (0x7fU >> length);
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
    point = point << 6 | (byte(i) & 0x3fU);
  }
  const bool overlong = (length == 3 && point < 0x800) || (length == 4 && point < 0x10000);
  const bool surrogate = point >= 0xd800 && point <= 0xdfff;
  return point < 0xa0 || overlong || surrogate || point > 0x10ffff ? 0 : length;
}

std::string_view article_of(std::string_view noun) { return noun.find_first_of("aeiouAEIOU") == 0 ? "an" : "a"; }

// Letters to insert, delete, replace to get from one word to the other (Levenshtein).
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i + 1);
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({row[j] + 1, row[j + 1] + 1, replaced});
    }
  }
  return row.back();
}

}  // namespace

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const auto end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

std::string join(const std::vector<std::string>& parts, std::string_view separator) {
  return fmt::format("{}", fmt::join(parts, separator));
}

std::string nearest(std::string_view word, const std::vector<std::string>& candidates) {
  std::string best;
  std::size_t least = 1 + std::max<std::size_t>(1, (word.size() + 1) / 3);  // more mistakes than that are another word
  for (const auto& candidate : candidates) {
    const std::size_t mistakes = edit_distance(word, candidate);
    if (mistakes >= least) continue;
    least = mistakes;
    best = candidate;
  }
  return best;
}

bool Scanner::accept(char c) {
  if (done() || text_[at_] != c) return false;
  ++at_;
  return true;
}

bool Scanner::accept(std::string_view word) {
  if (!rest().starts_with(word)) return false;
  at_ += word.size();
  return true;
}

void Scanner::expect(char c) {
  if (!accept(c)) fail(fmt::format("expected '{}'", c));
}

std::string_view Scanner::until(std::string_view stops) {
  const auto from = rest();
  const auto taken = from.substr(0, from.find_first_of(stops));
  at_ += taken.size();
  return taken;
}

std::uint32_t Scanner::number(std::string_view name, std::uint32_t lowest, std::uint32_t highest) {
  const std::size_t start = at_;
  std::uint64_t value = 0;
  while (!done() && peek() >= '0' && peek() <= '9') {
    value = value * 10 + static_cast<std::uint64_t>(peek() - '0');
    if (value > UINT32_MAX) fail_at(start, fmt::format("{} must be {} to {}", name, lowest, highest));
    ++at_;
  }
  if (at_ == start) fail_at(start, fmt::format("expected {}", name));
  if (at_ - start > 1 && text_[start] == '0') fail_at(start, fmt::format("{} must not begin with 0", name));
  if (value < lowest || value > highest) fail_at(start, fmt::format("{} must be {} to {}", name, lowest, highest));
  return static_cast<std::uint32_t>(value);
}

void Scanner::expect_end() const {
  if (!done()) fail(fmt::format("unexpected '{}'", printable(rest())));
}

void Scanner::fail_at(std::size_t offset, std::string_view reason, std::string hint) const {
  throw Error(ErrorKind::usage,
              fmt::format("'{}' is not {} {}: {} at position {}", printable(text_), article_of(what_), what_, reason,
                          offset + 1),
              hint.empty() ? std::string(form_) : std::move(hint));
}

std::string printable(std::string_view text) {
  constexpr std::size_t kLongest = 80;
  std::string shown;
  std::size_t at = 0;
  while (at < text.size()) {
    const auto length = visible_character(text.substr(at));
    if (at + std::max<std::size_t>(length, 1) > kLongest) return shown + "…";
    shown += length > 0 ? std::string(text.substr(at, length))
                        : fmt::format("\\x{:02x}", static_cast<unsigned char>(text[at]));
    at += std::max<std::size_t>(length, 1);
  }
  return shown;
}

}  // namespace mb
