// SPDX-License-Identifier: GPL-2.0-or-later
//
// dnsmasq as the name server of a network: a process in the host's network, otherwise shut up like a container, with a
// supervisor that starts it again when it dies and that it never outlives.
//
// The supervisor is nobody's child: verbs come and go. It holds a lock on the server's configuration from before the
// server exists until nothing is left of it, so the kernel itself tells whether it runs, and under which number.
#pragma once

#include <memory>
#include <string>

#include "src/kernel/name_servers.h"

namespace mb::container {

std::shared_ptr<kernel::NameServers> make_name_servers(const std::string& state_dir);

// The file with the resolvers that a server of the host's should ask: `host` (/etc/resolv.conf), or where that names
// none but loopback addresses and `upstream` (systemd-resolved's list) names others, that one.
std::string upstream_file(const std::string& host, const std::string& upstream);

}  // namespace mb::container
