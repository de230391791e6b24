// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a container has published: from specifications to settled ports and back. The two lists of a container hold the same
// in two forms; one specification without an address of the host comes to one port for each family the container has.
#pragma once

#include <cstdint>

#include "src/model/facts.h"
#include "src/plan/draft.h"

namespace mb::plan {

// Throws Error(usage) if nobody outside could reach what it publishes.
void check_can_publish(const Container& container, const Draft& draft);

// Lets go of settled ports of families in which the container is not reachable any more, and settles what is not settled
// yet. Throws Error(conflict) naming the holder of a port that is taken.
void settle_ports(Container& container, const Draft& draft, const HostFacts& facts, std::uint64_t draw);

// Takes out the published port that the words mean; the host port may be left out when it is clear without.
void unpublish(Container& container, const PublishSpec& spec);

// What it has published in routed networks, where a port answers under the container's own address: that address, and the
// port's number on both sides.
std::vector<PublishedPort> routed_ports(const Container& container, const std::vector<Network>& networks);

// Takes the port of `spec` from the containers that have published it. Throws Error(conflict) if one of them has published it
// together with others in one range.
void take_over(Draft& draft, const Container& heir, const PublishSpec& spec);

}  // namespace mb::plan
