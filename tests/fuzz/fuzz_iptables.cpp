// SPDX-License-Identifier: GPL-2.0-or-later
//
// iptables-save text: a rule or a dump that was understood comes back from its printed form as it was.
#include "src/base/error.h"
#include "src/model/rule.h"
#include "tests/fuzz/check.h"

namespace {

void check_rule(const std::string& text, mb::Family family) {
  mb::ChainedRule rule;
  try {
    rule = mb::parse_rule(text, family);
  } catch (const mb::Error& e) {
    mb::fuzz::check_message(e);
    return;
  }
  // What was understood once must be understood again: an Error here is a crash.
  mb::fuzz::check(mb::parse_rule(mb::print(rule.chain, rule.rule), family) == rule);
}

void check_dump(const std::string& text, mb::Family family) {
  mb::Ruleset rules;
  try {
    rules = mb::parse_dump(text, family);
  } catch (const mb::Error& e) {
    mb::fuzz::check_message(e);
    return;
  }
  mb::fuzz::check(mb::parse_dump(mb::print(rules, family), family) == rules);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto text = mb::fuzz::text_of(data, size);
  for (const auto family : {mb::Family::v4, mb::Family::v6}) {
    check_rule(text, family);
    check_dump(text, family);
  }
  return 0;
}
