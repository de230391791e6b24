// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/cli/draw.h"

#include <sys/random.h>

#include <array>
#include <cerrno>
#include <string_view>

#include <fmt/format.h>

#include "src/base/error.h"

namespace mb::cli {

std::uint64_t draw_number() {
  std::uint64_t number = 0;
  while (getrandom(&number, sizeof(number), 0) != static_cast<ssize_t>(sizeof(number))) {
    if (errno != EINTR) throw system_failure("cannot draw a random number", errno);
  }
  return number;
}

std::string draw_hex(int digits) {
  return fmt::format("{:016x}", draw_number()).substr(0, static_cast<std::size_t>(digits));
}

Name draw_name() {
  constexpr std::array<std::string_view, 16> kHow = {"bold",  "brisk", "calm",  "clear", "eager", "fair",
                                                     "keen",  "kind",  "light", "merry", "neat",  "plain",
                                                     "quick", "quiet", "swift", "warm"};
  constexpr std::array<std::string_view, 16> kWho = {"badger", "beaver", "crane", "falcon", "finch", "gecko",
                                                     "heron",  "ibex",   "lynx",  "marten", "newt",  "otter",
                                                     "plover", "robin",  "tern",  "wren"};
  const auto draw = draw_number();
  return Name::parse(fmt::format("{}_{}_{:04x}", kHow.at(draw % 16), kWho.at(draw / 16 % 16), draw >> 48));
}

InterfaceName draw_link_name() { return InterfaceName::parse("mb" + draw_hex(12)); }

}  // namespace mb::cli
