// SPDX-License-Identifier: GPL-2.0-or-later
//
// Addresses and subnets: the printed form of what was accepted means the same.
#include "src/base/error.h"
#include "src/model/address.h"
#include "tests/fuzz/check.h"

namespace {

template <class T>
void check_comes_back(const std::string& text) {
  try {
    const auto value = T::parse(text);
    mb::fuzz::check(T::parse(value.str()) == value);
  } catch (const mb::Error& e) {
    mb::fuzz::check_message(e);
  }
}

void check_subnet(const std::string& text) {
  try {
    const auto subnet = mb::Subnet::parse(text);
    mb::fuzz::check(subnet.contains(subnet.base()) && subnet.contains(subnet.last()) && subnet.overlaps(subnet));
    mb::fuzz::check(mb::Subnet::containing(subnet.last(), subnet.prefix()) == subnet);
  } catch (const mb::Error&) {  // the text is none; its message was looked at before
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto text = mb::fuzz::text_of(data, size);
  check_comes_back<mb::IpAddress>(text);
  check_comes_back<mb::Subnet>(text);
  check_subnet(text);
  return 0;
}
