// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/model/address.h"

#include <arpa/inet.h>

#include <algorithm>

#include <fmt/format.h>

#include "src/base/error.h"
#include "src/base/text.h"

namespace mb {
namespace {

constexpr std::string_view kDigits = "0123456789";

IpAddress parse_v4(std::string_view text) {
  Scanner scan("IPv4 address", text, "four numbers, for example 172.17.0.2");
  std::uint32_t value = 0;
  for (int part = 0; part < 4; ++part) {
    if (part > 0) scan.expect('.');
    value = value << 8 | scan.number("a number", 0, 255);
  }
  scan.expect_end();
  return IpAddress::v4(value);
}

// The grammar of IPv6 text has enough corners (:: once, embedded IPv4) that the C library's parser decides;
// what it cannot tell is the position, so the first impossible character is looked for here.
IpAddress parse_v6(std::string_view text) {
  Scanner scan("IPv6 address", text, "for example fd00::2");
  const auto odd = text.find_first_not_of("0123456789abcdefABCDEF:.");
  if (odd != std::string_view::npos) scan.fail_at(odd, fmt::format("unexpected '{}'", printable(text.substr(odd, 1))));
  std::array<std::uint8_t, 16> bytes{};
  if (inet_pton(AF_INET6, std::string(text).c_str(), bytes.data()) != 1) {
    scan.fail_at(text.size(), "the groups do not add up to 16 bytes");
  }
  return IpAddress::v6(bytes);
}

// Keeps the first `prefix` bits.
std::array<std::uint8_t, 16> masked(std::array<std::uint8_t, 16> bytes, int prefix) {
  for (int i = 0; i < 16; ++i) {
    const int kept = std::clamp(prefix - i * 8, 0, 8);
    bytes.at(static_cast<std::size_t>(i)) &= static_cast<std::uint8_t>(0xff00 >> kept);
  }
  return bytes;
}

IpAddress from_bytes(Family family, const std::array<std::uint8_t, 16>& bytes) {
  if (family == Family::v6) return IpAddress::v6(bytes);
  return IpAddress::v4(static_cast<std::uint32_t>(bytes[0]) << 24 | static_cast<std::uint32_t>(bytes[1]) << 16 |
                       static_cast<std::uint32_t>(bytes[2]) << 8 | bytes[3]);
}

}  // namespace

std::string_view to_string(Family family) { return family == Family::v4 ? "IPv4" : "IPv6"; }

int address_bits(Family family) { return family == Family::v4 ? 32 : 128; }

IpAddress IpAddress::v4(std::uint32_t host_order) {
  IpAddress address;
  for (std::size_t i = 0; i < 4; ++i) address.bytes_.at(i) = static_cast<std::uint8_t>(host_order >> (24 - 8 * i));
  return address;
}

IpAddress IpAddress::v6(const std::array<std::uint8_t, 16>& bytes) {
  IpAddress address;
  address.family_ = Family::v6;
  address.bytes_ = bytes;
  return address;
}

IpAddress IpAddress::any(Family family) { return family == Family::v4 ? v4(0) : v6({}); }

IpAddress IpAddress::parse(std::string_view text) {
  return text.find(':') == std::string_view::npos ? parse_v4(text) : parse_v6(text);
}

std::uint32_t IpAddress::to_v4() const {
  return static_cast<std::uint32_t>(bytes_[0]) << 24 | static_cast<std::uint32_t>(bytes_[1]) << 16 |
         static_cast<std::uint32_t>(bytes_[2]) << 8 | bytes_[3];
}

bool IpAddress::is_any() const { return *this == any(family_); }

bool IpAddress::is_loopback() const {
  if (family_ == Family::v4) return bytes_[0] == 127;
  return *this == any(Family::v6).plus(1);
}

bool IpAddress::is_multicast() const { return family_ == Family::v4 ? (bytes_[0] & 0xf0) == 0xe0 : bytes_[0] == 0xff; }

bool IpAddress::is_link_local() const {
  if (family_ == Family::v4) return bytes_[0] == 169 && bytes_[1] == 254;
  return bytes_[0] == 0xfe && (bytes_[1] & 0xc0) == 0x80;
}

IpAddress IpAddress::plus(std::uint64_t count) const {
  IpAddress sum = *this;
  std::uint64_t carry = count;
  for (std::size_t i = size(); i-- > 0 && carry > 0;) {
    carry += sum.bytes_.at(i);
    sum.bytes_.at(i) = static_cast<std::uint8_t>(carry);
    carry >>= 8;
  }
  return sum;
}

std::uint64_t IpAddress::distance_to(const IpAddress& other) const {
  std::array<std::uint8_t, 16> difference{};
  int borrow = 0;
  for (std::size_t i = size(); i-- > 0;) {
    const int byte = other.bytes_.at(i) - bytes_.at(i) - borrow;
    borrow = byte < 0 ? 1 : 0;
    difference.at(i) = static_cast<std::uint8_t>(byte);
  }
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < size(); ++i) {
    if (value >> 56 != 0) return UINT64_MAX;
    value = value << 8 | difference.at(i);
  }
  return value;
}

std::string IpAddress::str() const {
  std::array<char, INET6_ADDRSTRLEN> text{};
  inet_ntop(family_ == Family::v4 ? AF_INET : AF_INET6, bytes_.data(), text.data(), text.size());
  return text.data();
}

Subnet::Subnet(IpAddress base, int prefix) : base_(base), prefix_(prefix) {
  if (prefix < 0 || prefix > address_bits(base.family())) {
    throw Error(ErrorKind::usage, fmt::format("'{}/{}' is not a subnet: the prefix length must be 0 to {}", base.str(),
                                              prefix, address_bits(base.family())));
  }
  if (const auto network = containing(base, prefix).base(); network != base) {
    throw Error(ErrorKind::usage, fmt::format("'{}/{}' is not a subnet: host bits are set", base.str(), prefix),
                fmt::format("the subnet in which it lies is {}/{}", network.str(), prefix));
  }
}

Subnet Subnet::containing(IpAddress address, int prefix) {
  Subnet subnet;
  subnet.base_ = from_bytes(address.family(), masked(address.bytes(), prefix));
  subnet.prefix_ = prefix;
  return subnet;
}

Subnet Subnet::parse(std::string_view text) {
  Scanner scan("subnet", text, "an address and a prefix length, for example 10.20.0.0/24");
  const auto address_text = scan.until("/");
  if (address_text.empty()) scan.fail("expected an address");
  const auto address = IpAddress::parse(address_text);
  if (!scan.accept('/')) scan.fail("expected '/' and a prefix length", fmt::format("for example {}/24", address_text));
  const auto prefix = scan.number("the prefix length", 0, static_cast<std::uint32_t>(address_bits(address.family())));
  scan.expect_end();
  return {address, static_cast<int>(prefix)};
}

IpAddress Subnet::last() const {
  auto bytes = base_.bytes();
  for (int bit = prefix_; bit < address_bits(family()); ++bit) {
    bytes.at(static_cast<std::size_t>(bit / 8)) |= static_cast<std::uint8_t>(0x80 >> (bit % 8));
  }
  return from_bytes(family(), bytes);
}

bool Subnet::contains(const IpAddress& address) const {
  return address.family() == family() && containing(address, prefix_).base() == base_;
}

bool Subnet::contains(const Subnet& inner) const { return inner.prefix_ >= prefix_ && contains(inner.base_); }

bool Subnet::overlaps(const Subnet& other) const { return contains(other) || other.contains(*this); }

std::string Subnet::str() const { return fmt::format("{}/{}", base_.str(), prefix_); }

std::string InterfaceAddress::str() const { return fmt::format("{}/{}", address.str(), prefix); }

MacAddress MacAddress::parse(std::string_view text) {
  Scanner scan("MAC address", text, "six pairs of hexadecimal digits, for example 02:42:ac:11:00:02");
  std::array<std::uint8_t, 6> bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i > 0) scan.expect(':');
    unsigned value = 0;
    for (int digit = 0; digit < 2; ++digit) {
      const char c = scan.peek();
      if (!std::isxdigit(static_cast<unsigned char>(c))) scan.fail("expected two hexadecimal digits");
      const auto from =
          static_cast<unsigned>(kDigits.find(c) != std::string_view::npos ? c - '0' : (c | 0x20) - 'a' + 10);
      value = value << 4 | from;
      scan.accept(c);
    }
    bytes.at(i) = static_cast<std::uint8_t>(value);
  }
  scan.expect_end();
  if ((bytes[0] & 1) != 0) scan.fail_at(0, "a multicast address cannot belong to an interface");
  if (bytes == std::array<std::uint8_t, 6>{}) scan.fail_at(0, "the all-zero address cannot belong to an interface");
  return MacAddress(bytes);
}

MacAddress MacAddress::derived_from(const IpAddress& address) {
  const auto& b = address.bytes();
  const std::size_t from = address.size() - 4;
  return MacAddress({0x02, 0x6d, b.at(from), b.at(from + 1), b.at(from + 2), b.at(from + 3)});
}

std::string MacAddress::str() const { return fmt::format("{:02x}", fmt::join(bytes_, ":")); }

}  // namespace mb
