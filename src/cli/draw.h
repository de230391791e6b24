// SPDX-License-Identifier: GPL-2.0-or-later
//
// Random draws. They happen here, in the front end, so that everything after is repeatable.
#pragma once

#include <cstdint>
#include <string>

#include "src/model/names.h"

namespace mb::cli {

std::uint64_t draw_number();
// So many hexadecimal digits.
std::string draw_hex(int digits);
// A readable name such as "calm_otter_3f2a".
Name draw_name();
// "mb" and 12 hexadecimal digits.
InterfaceName draw_link_name();

}  // namespace mb::cli
