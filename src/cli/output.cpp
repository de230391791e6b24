// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/cli/output.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include <fmt/format.h>

#include "src/cli/json.h"

namespace mb::cli {
namespace {

// Whether escape sequences are written. The one thing here that outlives a call: it belongs to the process' standard
// output as stdio's buffer does, is set once when the words are known, and changes what a line looks like, never what is
// said. Handed down, it would be an argument of everything that prints.
bool& color_is_on() {
  static bool on = false;
  return on;
}

// Characters, not bytes: continuation bytes of UTF-8 take no room.
std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

std::string cut(const std::string& line, std::size_t width) {
  if (width_of(line) <= width || width == 0) return line;
  std::string kept;
  std::size_t used = 0;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if ((static_cast<unsigned char>(line[i]) & 0xc0) != 0x80 && ++used >= width) break;
    kept += line[i];
  }
  return kept + "…";
}

// A reader that went away is no failure (`minibridge ps | head -1`); a full disk is.
void check_written(bool written) {
  if (!written && errno != EPIPE) throw system_failure("cannot write the output", errno);
}

std::string escaped(std::string_view code, std::string_view text) {
  return color_is_on() ? fmt::format("\x1b[{}m{}\x1b[0m", code, text) : std::string(text);
}

}  // namespace

std::optional<std::size_t> terminal_width() {
  winsize size{};
  if (isatty(STDOUT_FILENO) == 0 || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
    return std::nullopt;
  return size.ws_col;
}

void print_line(std::string_view line) {
  check_written(std::fwrite(line.data(), 1, line.size(), stdout) == line.size() && std::fputc('\n', stdout) != EOF);
}

void print_error_line(std::string_view line) {
  const auto whole = fmt::format("{}\n", line);
  std::fwrite(whole.data(), 1, whole.size(), stderr);
}

void print_error(const Error& error, bool json) {
  std::fflush(stdout);  // what was said before; whether it arrived is no longer of interest
  if (json) {
    print_error_line(json_of_error(error));
    return;
  }
  print_error_line("error: " + error.message());
  if (!error.hint().empty()) print_error_line("hint: " + error.hint());
  for (const auto& cause : error.causes()) print_error_line("  also: " + cause.message());
}

void print_table(const std::vector<std::string>& heading, const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& cell : heading) widths.push_back(width_of(cell));
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width_of(row[i]));
  }
  const auto line_of = [&widths](const std::vector<std::string>& row) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      if (i + 1 < row.size()) line += std::string(widths[i] - width_of(row[i]) + 2, ' ');
    }
    return line;
  };
  const auto width = terminal_width().value_or(SIZE_MAX);
  print_line(bold(cut(line_of(heading), width)));
  for (const auto& row : rows) print_line(cut(line_of(row), width));
}

void set_color(std::string_view when) {
  const bool terminal = isatty(STDOUT_FILENO) != 0 && std::getenv("NO_COLOR") == nullptr;
  color_is_on() = when == "always" || (when == "auto" && terminal);
}

std::string dim(std::string_view text) { return escaped("2", text); }
std::string bold(std::string_view text) { return escaped("1", text); }
std::string green(std::string_view text) { return escaped("32", text); }
std::string red(std::string_view text) { return escaped("31", text); }
std::string yellow(std::string_view text) { return escaped("33", text); }

void flush_output() { check_written(std::fflush(stdout) == 0); }

}  // namespace mb::cli
