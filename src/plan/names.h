// SPDX-License-Identifier: GPL-2.0-or-later
//
// Who is called what, and who is told: the texts that name servers and containers read. Pure.
//
// A network that a user made has a name server on its gateway, as long as somebody is in it; the default network has
// none, as in docker. A container asks the server of one of its networks first, and an answer "no such name" of that one
// is final; what the server does not know (its further networks) stands in its /etc/hosts. A container that asks nobody
// of ours (its user gave --dns, or there is no dnsmasq) finds all it has to know there.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "src/model/objects.h"

namespace mb::plan {

bool serves_names(const Network& network);

// The server's configuration, as far as the network decides it.
std::string name_server_config(const Network& network);

// The lines of a container in a network: its name and its other names under each of its addresses.
std::string name_records(const Container& container, const Id& network);

// The networks whose servers a container asks, in this order.
std::vector<const Network*> asked_networks(const Container& container, const std::vector<Network>& networks,
                                           bool servers);

// The networks whose names stand in its /etc/hosts.
std::set<Id> networks_in_hosts_file(const Container& container, const std::vector<Network>& networks, bool servers);

// Containers that run, by network.
using Members = std::map<Id, std::vector<Container>>;

std::string hosts_file(const Container& container, const std::set<Id>& networks, const Members& members);
std::string resolver_file(const Container& container, const std::vector<const Network*>& asked);

}  // namespace mb::plan
