// SPDX-License-Identifier: GPL-2.0-or-later
//
// Names, interface names and MAC addresses.
#include "src/base/error.h"
#include "src/model/address.h"
#include "src/model/names.h"
#include "tests/fuzz/check.h"

namespace {

// What is accepted is exactly what was typed, and never longer than allowed.
template <class T>
void check_name(const std::string& text, std::size_t longest) {
  try {
    const auto name = T::parse(text);
    mb::fuzz::check(name.str() == text && !text.empty() && text.size() <= longest);
    mb::fuzz::check(text.find_first_of(std::string_view("/ \t\n\0", 5)) == std::string::npos);
  } catch (const mb::Error& e) {
    mb::fuzz::check_message(e);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto text = mb::fuzz::text_of(data, size);
  check_name<mb::Name>(text, 63);
  check_name<mb::InterfaceName>(text, 15);
  try {
    const auto mac = mb::MacAddress::parse(text);
    mb::fuzz::check(mb::MacAddress::parse(mac.str()) == mac && (mac.bytes()[0] & 1) == 0);
  } catch (const mb::Error& e) {
    mb::fuzz::check_message(e);
  }
  return 0;
}
