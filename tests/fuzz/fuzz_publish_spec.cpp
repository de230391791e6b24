// SPDX-License-Identifier: GPL-2.0-or-later
//
// Publish specifications: whatever is typed is either refused with mb::Error or has a printed form that means the same.
#include "src/base/error.h"
#include "src/model/port.h"
#include "tests/fuzz/check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto text = mb::fuzz::text_of(data, size);
  try {
    const auto spec = mb::PublishSpec::parse(text);
    mb::fuzz::check(mb::PublishSpec::parse(spec.str()) == spec);
    mb::fuzz::check(spec.container_ports.first >= 1 && spec.container_ports.first <= spec.container_ports.last);
    mb::fuzz::check(!spec.host_ports || spec.host_ports->count() == spec.container_ports.count());
  } catch (const mb::Error& e) {
    mb::fuzz::check_message(e);
  }
  return 0;
}
