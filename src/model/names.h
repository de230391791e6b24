// SPDX-License-Identifier: GPL-2.0-or-later
//
// Names that people type and names that the kernel carries, as types: a value of one of these is valid.
#pragma once

#include <compare>
#include <string>
#include <string_view>

namespace mb {

// What a network or a container is called: [a-zA-Z0-9][a-zA-Z0-9_.-]{0,62} (docker's rule, with a length limit so
// that it can be a host name). `parse` throws Error(usage) with the position and the reason.
class Name {
 public:
  Name() = default;
  static Name parse(std::string_view text);
  const std::string& str() const { return text_; }
  auto operator<=>(const Name&) const = default;

 private:
  std::string text_;
};

// The name of a network interface: 1 to 15 bytes, no '/', no white space, not "." or ".." (dev_valid_name in the
// kernel's net/core/dev.c), and no ':' nor '%', which old tools read as aliases and templates. libnl would truncate a longer name
// without a word; this type is what keeps one from getting that far.
class InterfaceName {
 public:
  InterfaceName() = default;
  static InterfaceName parse(std::string_view text);
  const std::string& str() const { return text_; }
  auto operator<=>(const InterfaceName&) const = default;

 private:
  std::string text_;
};

}  // namespace mb
