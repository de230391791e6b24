// SPDX-License-Identifier: GPL-2.0-or-later
//
// The text of a container's /etc/resolv.conf.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "src/model/address.h"
#include "src/model/objects.h"

namespace mb::container {

// The host's resolvers, without those on loopback addresses: nobody answers there in a container. When none are left,
// `upstream` (what a local stub resolver such as systemd-resolved forwards to) is used instead. `servers` and `search` given by the user replace the host's.
std::string resolver_file(std::string_view host, std::string_view upstream, const std::vector<IpAddress>& servers,
                          const std::vector<std::string>& search);

// The same from this host's files.
std::string resolver_file(const std::vector<IpAddress>& servers, const std::vector<std::string>& search);

// Anew for a container that starts again: what the user gave stays, what was the host's is taken as it is now.
std::string renewed_resolver_file(const Container& container);

// Whether a resolv.conf names a resolver that is not on a loopback address.
bool names_a_server(std::string_view text);

}  // namespace mb::container
