// SPDX-License-Identifier: GPL-2.0-or-later
//
// Text in columns, where a Chinese character takes two. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace mb::lab {

// How many columns of a terminal the UTF-8 text takes.
std::size_t width_of(std::string_view text);
// With blanks up to that width.
std::string padded(std::string text, std::size_t width);
// Broken between words (or between Chinese characters) so that no line is wider; each line but the first begins with `indent`.
std::string wrapped(std::string_view text, std::size_t width, std::string_view indent = {});

}  // namespace mb::lab
