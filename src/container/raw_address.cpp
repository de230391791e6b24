// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/container/raw_address.h"

#include <arpa/inet.h>

#include <array>
#include <cstring>

namespace mb::container {

RawAddress to_raw(const IpAddress& address, std::uint16_t port) {
  RawAddress raw;
  if (address.family() == Family::v4) {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = htons(port);
    std::memcpy(&in.sin_addr, address.bytes().data(), 4);
    std::memcpy(&raw.storage, &in, raw.size = sizeof in);
  } else {
    sockaddr_in6 in{};
    in.sin6_family = AF_INET6;
    in.sin6_port = htons(port);
    std::memcpy(&in.sin6_addr, address.bytes().data(), 16);
    std::memcpy(&raw.storage, &in, raw.size = sizeof in);
  }
  return raw;
}

IpAddress from_raw(const in_addr& address) { return IpAddress::v4(ntohl(address.s_addr)); }

IpAddress from_raw(const in6_addr& address) {
  if (IN6_IS_ADDR_V4MAPPED(&address)) {
    in_addr v4{};
    std::memcpy(&v4, &address.s6_addr[12], sizeof v4);
    return from_raw(v4);
  }
  std::array<std::uint8_t, 16> bytes{};
  std::memcpy(bytes.data(), &address, bytes.size());
  return IpAddress::v6(bytes);
}

SocketAddress from_raw(const RawAddress& raw) {
  if (raw.storage.ss_family == AF_INET6) {
    sockaddr_in6 in{};
    std::memcpy(&in, &raw.storage, sizeof in);
    return {from_raw(in.sin6_addr), ntohs(in.sin6_port)};
  }
  sockaddr_in in{};
  std::memcpy(&in, &raw.storage, sizeof in);
  return {from_raw(in.sin_addr), ntohs(in.sin_port)};
}

}  // namespace mb::container
