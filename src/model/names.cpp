// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/model/names.h"

#include <cctype>

#include <fmt/format.h>

#include "src/base/text.h"

namespace mb {
namespace {

constexpr std::size_t kLongestName = 63;
constexpr std::size_t kLongestInterfaceName = 15;  // IFNAMSIZ - 1

bool is_alphanumeric(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; }

}  // namespace

Name Name::parse(std::string_view text) {
  const Scanner scan("name", text);
  const std::string rule =
      "a name is letters, digits, '_', '.' and '-', up to 63 of them, beginning with a letter or digit";
  if (text.empty()) scan.fail("it is empty", rule);
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool fine = is_alphanumeric(c) || (i > 0 && (c == '_' || c == '.' || c == '-'));
    if (!fine) scan.fail_at(i, fmt::format("unexpected '{}'", printable(text.substr(i, 1))), rule);
  }
  if (text.size() > kLongestName) scan.fail_at(kLongestName, "it is too long", rule);
  Name name;
  name.text_ = text;
  return name;
}

InterfaceName InterfaceName::parse(std::string_view text) {
  const Scanner scan("interface name", text, "up to 15 characters without blanks or slashes, for example br-lan");
  if (text.empty()) scan.fail("it is empty");
  // "all" and "default" are directories of net.ipv4.conf: inetdev_init in the kernel refuses links of these names.
  if (text == "." || text == ".." || text == "all" || text == "default")
    scan.fail("it has a meaning of its own in paths");
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c <= 0x20 || c >= 0x7f || c == '/' || c == ':' || c == '%') {
      scan.fail_at(i, fmt::format("unexpected '{}'", printable(text.substr(i, 1))));
    }
  }
  if (text.size() > kLongestInterfaceName) {
    scan.fail_at(kLongestInterfaceName, "it is too long", "the kernel takes 15 characters at the most");
  }
  InterfaceName name;
  name.text_ = text;
  return name;
}

}  // namespace mb
