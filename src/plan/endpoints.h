// SPDX-License-Identifier: GPL-2.0-or-later
//
// The endpoints of a container: new ones, and which of them leads to everywhere else.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "src/model/change.h"
#include "src/model/facts.h"
#include "src/plan/draft.h"

namespace mb::plan {

// An endpoint for the container under the first free name ethN; `taken` are names of interfaces that are in its namespace
// besides its endpoints. Dynamic addresses are drawn later. Throws Error.
Endpoint make_endpoint(const Container& container, const change::EndpointRequest& request,
                       const std::vector<std::string>& taken, const Draft& draft, const HostFacts& facts);

// In each family the default route goes through the endpoint of the highest priority, of equal ones through the first, that
// is in a network which leads out. `foreign`: families in which somebody else has set a default route; they keep it.
void choose_default_routes(Container& container, const std::set<Family>& foreign, const Draft& draft);

}  // namespace mb::plan
