// SPDX-License-Identifier: GPL-2.0-or-later
//
// Words to the user: data on standard output, everything else on standard error, tables that fit the terminal.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "src/base/error.h"

namespace mb::cli {

void print_line(std::string_view line);
void print_error_line(std::string_view line);

// In columns; nothing when standard output is no terminal.
std::optional<std::size_t> terminal_width();

// A failure: one sentence, a hint, further causes; or the JSON object.
void print_error(const Error& error, bool json);

// Rows of cells under a heading, aligned; cut at the terminal's width when there is a terminal.
void print_table(const std::vector<std::string>& heading, const std::vector<std::vector<std::string>>& rows);

// Which colours are used: "auto" (only on a terminal, not with NO_COLOR set), "always" or "never".
void set_color(std::string_view when);
std::string dim(std::string_view text);
std::string bold(std::string_view text);
std::string green(std::string_view text);
std::string red(std::string_view text);
std::string yellow(std::string_view text);

// Everything printed so far is written out now. Throws when it cannot be, unless nobody reads any more.
void flush_output();

}  // namespace mb::cli
