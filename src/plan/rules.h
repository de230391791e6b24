// SPDX-License-Identifier: GPL-2.0-or-later
//
// The rules that minibridge wants, each with its why: a pure function of the networks and of what is published.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "src/model/chains.h"
#include "src/model/kernel_state.h"
#include "src/model/objects.h"
#include "src/model/rule.h"

namespace mb::plan {

// All networks, and the containers whose published ports are wanted. `devgroup` tells whether the kernel can match the
// group of an interface; without it the same rules are written once per bridge. No networks, no rules.
Ruleset desired_rules(const Identity& identity, bool devgroup, const std::vector<Network>& networks,
                      const std::vector<Container>& containers);

// Where published ports of the family lead: the address of the endpoint by which answers leave, else of the first in a
// network that is not internal, for what is internal nobody reaches; none if there is none.
std::optional<IpAddress> published_address(const Container& container, Family family,
                                           const std::vector<Network>& networks);

// The rule that publishes one port of a container, one for a whole range.
Rule publish_rule(const Container& container, const PublishedPort& port, const std::vector<Network>& networks);

// The group of a minibridge state directory that the rules name (ours or a foreign one); none if no rule names one.
std::optional<std::uint32_t> group_in(const Ruleset& rules);

}  // namespace mb::plan
