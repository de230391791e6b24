// SPDX-License-Identifier: GPL-2.0-or-later
//
// What all fuzz targets need.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "src/base/error.h"
#include "src/base/text.h"

namespace mb::fuzz {

inline std::string text_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

inline void check(bool fact) {
  if (!fact) std::abort();
}

// A refusal comes back to a terminal or as JSON: a short sentence with nothing in it that either would stumble over.
inline void check_message(const Error& error) {
  constexpr std::size_t kLongest = 1000;
  check(error.kind() == ErrorKind::usage && !error.message().empty() && error.message().size() <= kLongest);
  for (const auto& text : {error.message(), error.hint()}) {
    if (std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7f; })) continue;
    for (std::size_t at = 0; at < text.size(); at += 40) {
      // printable() changes nothing in a text that is fine; it cuts at 80 bytes, so pieces are looked at.
      auto end = std::min(at + 40, text.size());
      auto begin = at;
      while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xc0) == 0x80) --begin;
      while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) ++end;
      const auto piece = text.substr(begin, end - begin);
      check(printable(piece) == piece);
    }
  }
}

}  // namespace mb::fuzz
