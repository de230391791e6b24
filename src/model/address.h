// SPDX-License-Identifier: GPL-2.0-or-later
//
// Addresses as values: IP addresses of both families, subnets, MAC addresses.
// Parsing rejects with position and reason (see Scanner); printing gives the canonical form back.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mb {

enum class Family : std::uint8_t { v4, v6 };

// "IPv4" or "IPv6".
std::string_view to_string(Family family);
// 32 or 128.
int address_bits(Family family);

class IpAddress {
 public:
  IpAddress() = default;  // 0.0.0.0
  static IpAddress v4(std::uint32_t host_order);
  static IpAddress v6(const std::array<std::uint8_t, 16>& bytes);
  // 0.0.0.0 or ::, which stand for "every address of the host".
  static IpAddress any(Family family);
  // Dotted quad, or an IPv6 text form (RFC 4291; no zone, no brackets).
  static IpAddress parse(std::string_view text);

  Family family() const { return family_; }
  // Network byte order; the first 4 of them for IPv4.
  const std::array<std::uint8_t, 16>& bytes() const { return bytes_; }
  std::size_t size() const { return family_ == Family::v4 ? 4 : 16; }
  std::uint32_t to_v4() const;  // host byte order

  bool is_any() const;
  bool is_loopback() const;
  bool is_multicast() const;
  bool is_link_local() const;

  // The address `count` further on (wraps within the family).
  IpAddress plus(std::uint64_t count) const;
  // other - this, saturated to 64 bits; both of one family and other >= this.
  std::uint64_t distance_to(const IpAddress& other) const;

  std::string str() const;
  auto operator<=>(const IpAddress&) const = default;

 private:
  Family family_ = Family::v4;
  std::array<std::uint8_t, 16> bytes_{};
};

// A subnet: base address and prefix length, host bits zero.
class Subnet {
 public:
  Subnet() = default;
  // Throws Error(usage) if the prefix is too long for the family or host bits are set.
  Subnet(IpAddress base, int prefix);
  // The subnet of this prefix length in which `address` lies.
  static Subnet containing(IpAddress address, int prefix);
  // "172.18.0.0/16"; host bits must be zero, the prefix must be there.
  static Subnet parse(std::string_view text);

  const IpAddress& base() const { return base_; }
  int prefix() const { return prefix_; }
  Family family() const { return base_.family(); }
  IpAddress last() const;
  bool contains(const IpAddress& address) const;
  bool contains(const Subnet& inner) const;
  bool overlaps(const Subnet& other) const;

  std::string str() const;
  auto operator<=>(const Subnet&) const = default;

 private:
  IpAddress base_;
  int prefix_ = 0;
};

// An address on a link together with the length of its subnet's prefix: "172.18.0.1/16".
struct InterfaceAddress {
  IpAddress address;
  int prefix = 0;

  Subnet subnet() const { return Subnet::containing(address, prefix); }
  std::string str() const;
  auto operator<=>(const InterfaceAddress&) const = default;
};

class MacAddress {
 public:
  MacAddress() = default;
  explicit MacAddress(const std::array<std::uint8_t, 6>& bytes) : bytes_(bytes) {}
  // "02:6d:ac:12:00:02"; multicast and all-zero addresses are refused, a link cannot have them.
  static MacAddress parse(std::string_view text);
  // Locally administered, 02:6d followed by the IPv4 address, so that an address that is given to another
  // container later never leaves a stale neighbour entry behind. IPv6: the last 4 bytes.
  static MacAddress derived_from(const IpAddress& address);

  const std::array<std::uint8_t, 6>& bytes() const { return bytes_; }
  std::string str() const;
  auto operator<=>(const MacAddress&) const = default;

 private:
  std::array<std::uint8_t, 6> bytes_{};
};

}  // namespace mb
