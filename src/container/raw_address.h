// SPDX-License-Identifier: GPL-2.0-or-later
//
// Addresses as the socket calls take and give them.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>

#include "src/container/echo_format.h"
#include "src/model/address.h"

namespace mb::container {

struct RawAddress {
  sockaddr_storage storage{};
  socklen_t size = sizeof(sockaddr_storage);

  sockaddr* raw() { return reinterpret_cast<sockaddr*>(&storage); }
};

RawAddress to_raw(const IpAddress& address, std::uint16_t port);

SocketAddress from_raw(const RawAddress& raw);
IpAddress from_raw(const in_addr& address);
// An IPv4 client of a dual-stack socket is an IPv4 client (::ffff:a.b.c.d, RFC 4291, section 2.5.5.2).
IpAddress from_raw(const in6_addr& address);

}  // namespace mb::container
