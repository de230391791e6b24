// SPDX-License-Identifier: GPL-2.0-or-later
//
// Short ways to the values that many tests need.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "src/base/error.h"
#include "src/model/kernel_state.h"
#include "src/model/objects.h"

namespace mb::test {

// The message of the mb::Error that `function` throws; "(no error)" if it throws none.
template <class Function>
std::string message_of(Function function) {
  try {
    function();
  } catch (const Error& e) {
    return e.message();
  }
  return "(no error)";
}

// The kind and the message: "conflict: there is a network 'a' already".
template <class Function>
std::string error_of(Function function) {
  try {
    function();
  } catch (const Error& e) {
    return std::string(to_string(e.kind())) + ": " + e.message();
  }
  return "(no error)";
}

// Whose state it is, where that does not matter.
inline const Identity kIdentity = Identity::from_state_id("3fa2c19b");

inline IpAddress ip(std::string_view text) { return IpAddress::parse(text); }

inline Network network(const std::string& name, std::string_view subnet, const Id& id = "") {
  Network made;
  made.id = id.empty() ? "id-" + name : id;
  made.name = Name::parse(name);
  made.bridge = InterfaceName::parse("br-" + name);
  AddressPool pool;
  pool.subnet = Subnet::parse(subnet);
  pool.gateway = pool.subnet.base().plus(1);
  made.pools = {pool};
  return made;
}

inline Endpoint endpoint(const Network& in, std::string_view address, std::string_view name = "eth0") {
  Endpoint made;
  made.network = in.id;
  made.host_link = InterfaceName::parse("mb-" + std::string(address.substr(address.size() - 4)));
  made.name = InterfaceName::parse(name);
  made.addresses = {{Family::v4, false, IpAddress::parse(address), true}};
  return made;
}

// A running container.
inline Container container(const std::string& name, std::initializer_list<Endpoint> endpoints = {}) {
  Container made;
  made.id = "id-" + name;
  made.name = Name::parse(name);
  made.hostname = name;
  made.status = ContainerStatus::running;
  made.namespace_source = "/proc/77/ns/net";
  made.resolv_conf = "nameserver 192.0.2.53\n";
  made.endpoints = endpoints;
  return made;
}

inline PublishedPort port(std::string_view host_address, PortRange host, PortRange inside,
                          Protocol protocol = Protocol::tcp) {
  return {IpAddress::parse(host_address), host, inside, protocol};
}

}  // namespace mb::test
