// SPDX-License-Identifier: GPL-2.0-or-later
//
// How text is made to stand out. Nothing may be said by colour alone, so the default, which paints nothing, loses nothing.
#pragma once

#include <functional>
#include <string>

namespace mb::lab {

struct Paint {
  using Brush = std::function<std::string(const std::string&)>;
  static std::string plain(const std::string& text) { return text; }

  Brush strong = plain;   // headings
  Brush quiet = plain;    // what matters less
  Brush good = plain;     // a check that holds
  Brush bad = plain;      // one that does not
  Brush changed = plain;  // an address that was rewritten
};

}  // namespace mb::lab
