// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/cli/signal_names.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <csignal>
#include <cstring>
#include <optional>
#include <string_view>

#include <fmt/format.h>

#include "src/base/error.h"
#include "src/base/text.h"

namespace mb::cli {
namespace {

std::optional<int> whole_number(std::string_view text) {
  int number = 0;
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, number);
  return parsed.ec == std::errc() && parsed.ptr == end && number >= 0 ? std::optional(number) : std::nullopt;
}

// "RTMIN", "RTMIN+3", "RTMAX-1". Where they begin is the C library's choice (signal(7)).
std::optional<int> real_time_signal(std::string_view name) {
  const bool lowest = name.starts_with("RTMIN");
  if (!lowest && !name.starts_with("RTMAX")) return std::nullopt;
  const auto rest = name.substr(5);
  if (rest.empty()) return lowest ? SIGRTMIN : SIGRTMAX;
  if (rest.front() != (lowest ? '+' : '-')) return std::nullopt;
  const auto distance = whole_number(rest.substr(1));
  if (!distance || *distance > SIGRTMAX - SIGRTMIN) return std::nullopt;
  return lowest ? SIGRTMIN + *distance : SIGRTMAX - *distance;
}

std::optional<int> named_signal(std::string_view name) {
  for (int signal = 1; signal < NSIG; ++signal) {
    const char* known = sigabbrev_np(signal);
    if (known != nullptr && name == known) return signal;
  }
  return real_time_signal(name);
}

}  // namespace

int parse_signal(const std::string& text) {
  if (const auto number = whole_number(text); number && *number > 0 && *number < NSIG) return *number;
  std::string name = text;
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  if (const auto signal = named_signal(name.starts_with("SIG") ? std::string_view(name).substr(3) : name))
    return *signal;
  throw Error(ErrorKind::usage, fmt::format("'{}' is not a signal", printable(text)),
              "for example TERM, SIGHUP, RTMIN+3 or 9");
}

std::string signal_name(int signal) {
  if (const char* known = sigabbrev_np(signal)) return fmt::format("SIG{}", known);
  if (signal == SIGRTMIN) return "SIGRTMIN";
  if (signal == SIGRTMAX) return "SIGRTMAX";
  if (signal > SIGRTMIN && signal < SIGRTMAX) return fmt::format("SIGRTMIN+{}", signal - SIGRTMIN);
  return fmt::format("{}", signal);
}

}  // namespace mb::cli
