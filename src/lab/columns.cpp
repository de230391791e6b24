// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/lab/columns.h"

#include <cstdint>

namespace mb::lab {
namespace {

struct Character {
  std::string_view bytes;
  std::uint32_t code = 0;

  // Unicode's East Asian Width (UAX 11), as far as Chinese text needs it: ideographs, their punctuation and full-width forms.
  bool is_wide() const {
    return (code >= 0x2e80 && code <= 0xa4cf) || (code >= 0xac00 && code <= 0xd7a3) ||
           (code >= 0xf900 && code <= 0xfaff) || (code >= 0xfe30 && code <= 0xfe6f) ||
           (code >= 0xff00 && code <= 0xff60) || (code >= 0xffe0 && code <= 0xffe6) || code >= 0x20000 ||
           code == 0x2014 || code == 0x201c || code == 0x201d || code == 0x2026;
  }
  // Stands at no beginning of a line.
  bool closes() const {
    constexpr std::string_view kClosing[] = {"，", "。", "、", "；", "：", "！", "？", "）", "”", "》", "…"};
    for (const auto each : kClosing) {
      if (bytes == each) return true;
    }
    return false;
  }
};

// The first character of a text that is not empty. What is not UTF-8 counts byte by byte.
Character first_of(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  std::size_t size = 1;
  std::uint32_t code = lead;
  if (lead >= 0xf0) {
    size = 4;
    code = lead & 0x07U;
  } else if (lead >= 0xe0) {
    size = 3;
    code = lead & 0x0fU;
  } else if (lead >= 0xc0) {
    size = 2;
    code = lead & 0x1fU;
  }
  if (size > text.size()) return {text.substr(0, 1), lead};
  for (std::size_t i = 1; i < size; ++i) code = code << 6 | (static_cast<unsigned char>(text[i]) & 0x3fU);
  return {text.substr(0, size), code};
}

// What stays on one line: a word with the blank before it, or one wide character with the marks that follow it.
std::string_view next_unit(std::string_view text) {
  std::size_t size = 0;
  while (size < text.size() && text[size] == ' ') ++size;
  bool first = true;
  while (size < text.size()) {
    const Character character = first_of(text.substr(size));
    if (character.bytes == " ") break;
    if (!first && character.is_wide() && !character.closes()) break;
    size += character.bytes.size();
    const bool ends = character.is_wide() && (size >= text.size() || !first_of(text.substr(size)).closes());
    first = false;
    if (ends) break;
  }
  return text.substr(0, size);
}

}  // namespace

std::size_t width_of(std::string_view text) {
  std::size_t width = 0;
  while (!text.empty()) {
    const Character character = first_of(text);
    width += character.is_wide() ? 2 : 1;
    text.remove_prefix(character.bytes.size());
  }
  return width;
}

std::string padded(std::string text, std::size_t width) {
  const std::size_t now = width_of(text);
  if (now < width) text.append(width - now, ' ');
  return text;
}

std::string wrapped(std::string_view text, std::size_t width, std::string_view indent) {
  std::string lines;
  std::size_t column = 0;
  while (!text.empty()) {
    std::string_view unit = next_unit(text);
    if (unit.empty()) break;
    text.remove_prefix(unit.size());
    if (column > 0 && column + width_of(unit) > width) {
      lines += '\n';
      lines += indent;
      column = width_of(indent);
      unit.remove_prefix(std::min(unit.find_first_not_of(' '), unit.size()));
    }
    lines += unit;
    column += width_of(unit);
  }
  return lines;
}

}  // namespace mb::lab
