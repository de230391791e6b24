// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/kernel/iptables_codec.h"

#include <arpa/inet.h>
#include <net/if.h>

#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/x_tables.h>
#include <linux/netfilter/xt_addrtype.h>
#include <linux/netfilter/xt_comment.h>
#include <linux/netfilter/xt_conntrack.h>
#include <linux/netfilter/xt_devgroup.h>
#include <linux/netfilter/xt_tcpudp.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <numeric>
#include <optional>
#include <string>
#include <type_traits>

#include <fmt/format.h>

#include "src/base/error.h"
#include "src/base/overloaded.h"

// This header is C (it says _Bool) and leaves a macro `bytes` behind, so it comes last.
#define _Bool bool  // NOLINT(bugprone-reserved-identifier)
#include <linux/netfilter/xt_sctp.h>
#undef _Bool
#undef bytes

namespace mb::kernel {
namespace {

constexpr std::uint32_t kOffsetFlag = 1U << 5;  // NF_NAT_RANGE_PROTO_OFFSET
constexpr std::uint8_t kSnatRevisionV6 = 1;

// --- writing -------------------------------------------------------------------------------------------------------

template <class Part>
std::vector<std::uint8_t> named_block(std::string_view name, std::uint8_t revision, const void* data,
                                      std::size_t size) {
  std::vector<std::uint8_t> block(XT_ALIGN(sizeof(Part)) + XT_ALIGN(size));
  Part head{};
  head.u.user.match_size = static_cast<std::uint16_t>(block.size());
  std::memcpy(head.u.user.name, name.data(), std::min(name.size(), sizeof(head.u.user.name) - 1));
  head.u.user.revision = revision;
  std::memcpy(block.data(), &head, sizeof(head));
  std::memcpy(block.data() + XT_ALIGN(sizeof(Part)), data, size);
  return block;
}

template <class Data>
std::vector<std::uint8_t> match_block(std::string_view name, std::uint8_t revision, const Data& data) {
  return named_block<xt_entry_match>(name, revision, &data, sizeof(data));
}

std::vector<std::uint8_t> target_block(std::string_view name, std::uint8_t revision, const void* data,
                                       std::size_t size) {
  std::vector<std::uint8_t> block(XT_ALIGN(sizeof(xt_entry_target)) + XT_ALIGN(size));
  xt_entry_target head{};
  head.u.user.target_size = static_cast<std::uint16_t>(block.size());
  std::memcpy(head.u.user.name, name.data(), std::min(name.size(), sizeof(head.u.user.name) - 1));
  head.u.user.revision = revision;
  std::memcpy(block.data(), &head, sizeof(head));
  std::memcpy(block.data() + XT_ALIGN(sizeof(xt_entry_target)), data, size);
  return block;
}

void write_ports(std::uint16_t (&ports)[2], const std::optional<Negatable<PortRange>>& wanted) {
  ports[0] = wanted ? wanted->value.first : 0;
  ports[1] = wanted ? wanted->value.last : 65535;
}

bool negated(const std::optional<Negatable<PortRange>>& wanted) { return wanted && wanted->negated; }

std::vector<std::uint8_t> encode_ports(const match::Ports& ports) {
  switch (ports.protocol) {
    case Protocol::tcp: {
      xt_tcp data{};
      write_ports(data.spts, ports.source);
      write_ports(data.dpts, ports.destination);
      data.invflags = static_cast<std::uint8_t>((negated(ports.source) ? XT_TCP_INV_SRCPT : 0) |
                                                (negated(ports.destination) ? XT_TCP_INV_DSTPT : 0));
      return match_block("tcp", 0, data);
    }
    case Protocol::udp: {
      xt_udp data{};
      write_ports(data.spts, ports.source);
      write_ports(data.dpts, ports.destination);
      data.invflags = static_cast<std::uint8_t>((negated(ports.source) ? XT_UDP_INV_SRCPT : 0) |
                                                (negated(ports.destination) ? XT_UDP_INV_DSTPT : 0));
      return match_block("udp", 0, data);
    }
    case Protocol::sctp: break;
  }
  xt_sctp_info data{};
  write_ports(data.spts, ports.source);
  write_ports(data.dpts, ports.destination);
  data.flags = (ports.source ? XT_SCTP_SRC_PORTS : 0U) | (ports.destination ? XT_SCTP_DEST_PORTS : 0U);
  data.invflags =
      (negated(ports.source) ? XT_SCTP_SRC_PORTS : 0U) | (negated(ports.destination) ? XT_SCTP_DEST_PORTS : 0U);
  return match_block("sctp", 0, data);
}

std::vector<std::uint8_t> encode_addrtype(const match::AddrType& wanted) {
  xt_addrtype_info_v1 data{};
  if (wanted.source) {
    data.source = static_cast<std::uint16_t>(wanted.source->value);
    if (wanted.source->negated) data.flags |= XT_ADDRTYPE_INVERT_SOURCE;
  }
  if (wanted.destination) {
    data.dest = static_cast<std::uint16_t>(wanted.destination->value);
    if (wanted.destination->negated) data.flags |= XT_ADDRTYPE_INVERT_DEST;
  }
  return match_block("addrtype", 1, data);
}

std::vector<std::uint8_t> encode_devgroup(const match::DevGroup& wanted) {
  xt_devgroup_info data{};
  if (wanted.source) {
    data.flags |= XT_DEVGROUP_MATCH_SRC | (wanted.source->negated ? std::uint32_t{XT_DEVGROUP_INVERT_SRC} : 0U);
    data.src_group = wanted.source->value;
    data.src_mask = UINT32_MAX;
  }
  if (wanted.destination) {
    data.flags |= XT_DEVGROUP_MATCH_DST | (wanted.destination->negated ? std::uint32_t{XT_DEVGROUP_INVERT_DST} : 0U);
    data.dst_group = wanted.destination->value;
    data.dst_mask = UINT32_MAX;
  }
  return match_block("devgroup", 0, data);
}

struct StateBit {
  std::uint16_t ours;
  std::uint16_t kernels;
};
constexpr std::array<StateBit, 7> kStateBits = {{
    {match::kInvalid, XT_CONNTRACK_STATE_INVALID},
    {match::kEstablished, XT_CONNTRACK_STATE_BIT(IP_CT_ESTABLISHED)},
    {match::kRelated, XT_CONNTRACK_STATE_BIT(IP_CT_RELATED)},
    {match::kNew, XT_CONNTRACK_STATE_BIT(IP_CT_NEW)},
    {match::kSnat, XT_CONNTRACK_STATE_SNAT},
    {match::kDnat, XT_CONNTRACK_STATE_DNAT},
    {match::kUntracked, XT_CONNTRACK_STATE_UNTRACKED},
}};

std::vector<std::uint8_t> encode_conntrack(const match::ConnTrack& wanted) {
  xt_conntrack_mtinfo3 data{};
  data.match_flags = XT_CONNTRACK_STATE;
  if (wanted.negated) data.invert_flags = XT_CONNTRACK_STATE;
  for (const auto& [ours, kernels] : kStateBits) {
    if ((wanted.states & ours) != 0) data.state_mask = static_cast<std::uint16_t>(data.state_mask | kernels);
  }
  return match_block("conntrack", 3, data);
}

std::vector<std::uint8_t> encode_comment(const match::Comment& wanted) {
  xt_comment_info data{};
  if (wanted.text.size() >= sizeof(data.comment)) {
    throw Error(ErrorKind::failed, fmt::format("the comment '{}' is too long for a rule", wanted.text));
  }
  std::memcpy(data.comment, wanted.text.data(), wanted.text.size());
  return match_block("comment", 0, data);
}

// ICMP and ICMPv6: one layout under two names.
std::vector<std::uint8_t> encode_icmp(const match::IcmpType& wanted, Family family) {
  static_assert(sizeof(ipt_icmp) == sizeof(ip6t_icmp));
  return match_block(family == Family::v4 ? "icmp" : "icmp6", 0, ipt_icmp{wanted.type, {0, 0xff}, 0});
}

std::vector<std::uint8_t> encode_match(const Match& match, Family family) {
  return std::visit(Overloaded{
                        [](const match::Ports& m) { return encode_ports(m); },
                        [](const match::AddrType& m) { return encode_addrtype(m); },
                        [](const match::DevGroup& m) { return encode_devgroup(m); },
                        [](const match::ConnTrack& m) { return encode_conntrack(m); },
                        [&](const match::IcmpType& m) { return encode_icmp(m, family); },
                        [](const match::Comment& m) { return encode_comment(m); },
                        [](const match::Opaque& m) {
                          return named_block<xt_entry_match>(m.name, m.revision, m.data.data(), m.data.size());
                        },
                    },
                    match);
}

void write_address(in_addr& to, const IpAddress& address) { std::memcpy(&to, address.bytes().data(), sizeof(to)); }
void write_address(in6_addr& to, const IpAddress& address) { std::memcpy(&to, address.bytes().data(), sizeof(to)); }
void write_address(nf_inet_addr& to, const IpAddress& address) {
  std::memcpy(&to, address.bytes().data(), address.size());
}

// ACCEPT, DROP, RETURN and jumps are one kind of target for the kernel; libiptc turns the name into a verdict.
std::vector<std::uint8_t> encode_verdict(std::string_view name) {
  const int verdict = 0;
  return target_block(name, 0, &verdict, sizeof(verdict));
}

std::vector<std::uint8_t> encode_dnat(const target::Dnat& wanted) {
  nf_nat_range2 range{};
  range.flags = NF_NAT_RANGE_MAP_IPS;
  write_address(range.min_addr, wanted.address);
  range.max_addr = range.min_addr;
  if (wanted.ports) {
    range.flags |= NF_NAT_RANGE_PROTO_SPECIFIED;
    range.min_proto.all = htons(wanted.ports->first);
    range.max_proto.all = htons(wanted.ports->last);
  }
  if (wanted.base) {
    range.flags |= kOffsetFlag;
    range.base_proto.all = htons(*wanted.base);
  }
  return target_block("DNAT", 2, &range, sizeof(range));
}

// SNAT and MASQUERADE kept their first form for IPv4; for IPv6 they take one that has room for its addresses.
std::vector<std::uint8_t> encode_source_nat_v4(std::string_view name, const std::optional<IpAddress>& address) {
  nf_nat_ipv4_multi_range_compat ranges{};
  ranges.rangesize = 1;
  if (address) {
    in_addr chosen{};
    write_address(chosen, *address);
    ranges.range[0].flags = NF_NAT_RANGE_MAP_IPS;
    ranges.range[0].min_ip = ranges.range[0].max_ip = chosen.s_addr;
  }
  return target_block(name, 0, &ranges, sizeof(ranges));
}

std::vector<std::uint8_t> encode_source_nat_v6(std::string_view name, const std::optional<IpAddress>& address) {
  nf_nat_range range{};
  if (address) {
    range.flags = NF_NAT_RANGE_MAP_IPS;
    write_address(range.min_addr, *address);
    range.max_addr = range.min_addr;
  }
  return target_block(name, address ? kSnatRevisionV6 : 0, &range, sizeof(range));
}

std::vector<std::uint8_t> encode_source_nat(Family family, std::string_view name,
                                            const std::optional<IpAddress>& address) {
  return family == Family::v4 ? encode_source_nat_v4(name, address) : encode_source_nat_v6(name, address);
}

std::vector<std::uint8_t> encode_target(const Target& target, Family family) {
  return std::visit(
      Overloaded{
          [](const target::None&) { return encode_verdict(""); },
          [](const target::Accept&) { return encode_verdict("ACCEPT"); },
          [](const target::Drop&) { return encode_verdict("DROP"); },
          [](const target::Return&) { return encode_verdict("RETURN"); },
          [](const target::Jump& t) { return encode_verdict(t.chain); },
          [](const target::Goto& t) { return encode_verdict(t.chain); },
          [](const target::Dnat& t) { return encode_dnat(t); },
          [&](const target::Snat& t) { return encode_source_nat(family, "SNAT", t.address); },
          [&](const target::Masquerade&) { return encode_source_nat(family, "MASQUERADE", std::nullopt); },
          [](const target::Opaque& t) { return target_block(t.name, t.revision, t.data.data(), t.data.size()); },
      },
      target);
}

// An exact name is compared with its terminating zero; a trailing '+' leaves the rest open.
void write_interface(char (&name)[IFNAMSIZ], unsigned char (&mask)[IFNAMSIZ], const std::string& wanted) {
  const bool open_end = wanted.ends_with('+');
  const std::size_t length = std::min<std::size_t>(wanted.size() - (open_end ? 1 : 0), IFNAMSIZ - 1);
  std::memcpy(name, wanted.data(), length);
  std::memset(mask, 0xff, open_end ? length : length + 1);
}

// The first `prefix` bits of a mask, in either family's type.
template <class Address>
void write_mask(Address& mask, int prefix) {
  auto* byte = reinterpret_cast<std::uint8_t*>(&mask);
  for (; prefix >= 8; prefix -= 8) *byte++ = 0xff;
  if (prefix > 0) *byte = static_cast<std::uint8_t>(0xff << (8 - prefix));
}

template <class Address>
void write_subnet(Address& address, Address& mask, const Subnet& subnet) {
  write_address(address, subnet.base());
  write_mask(mask, subnet.prefix());
}

// The two families' headers have the same fields and the same flags; only the addresses are of another size.
static_assert(IPT_INV_VIA_IN == IP6T_INV_VIA_IN && IPT_INV_VIA_OUT == IP6T_INV_VIA_OUT &&
              IPT_INV_SRCIP == IP6T_INV_SRCIP && IPT_INV_DSTIP == IP6T_INV_DSTIP && XT_INV_PROTO == IP6T_INV_PROTO);

template <class Header>
constexpr bool kIsV6 = std::is_same_v<Header, ip6t_ip6>;

// The one flag that differs.
template <class Header>
constexpr std::uint8_t kGotoFlag = kIsV6<Header> ? IP6T_F_GOTO : IPT_F_GOTO;

template <class Header>
Header encode_header(const Rule& rule) {
  Header header{};
  unsigned inverted = 0;
  if (rule.source) {
    write_subnet(header.src, header.smsk, rule.source->value);
    if (rule.source->negated) inverted |= IPT_INV_SRCIP;
  }
  if (rule.destination) {
    write_subnet(header.dst, header.dmsk, rule.destination->value);
    if (rule.destination->negated) inverted |= IPT_INV_DSTIP;
  }
  if (rule.in) {
    write_interface(header.iniface, header.iniface_mask, rule.in->value);
    if (rule.in->negated) inverted |= IPT_INV_VIA_IN;
  }
  if (rule.out) {
    write_interface(header.outiface, header.outiface_mask, rule.out->value);
    if (rule.out->negated) inverted |= IPT_INV_VIA_OUT;
  }
  if (rule.protocol) {
    header.proto = rule.protocol->value;
    if constexpr (kIsV6<Header>) header.flags = IP6T_F_PROTO;
    if (rule.protocol->negated) inverted |= XT_INV_PROTO;
  }
  header.invflags = static_cast<std::uint8_t>(inverted);
  if (std::holds_alternative<target::Goto>(rule.target)) header.flags |= kGotoFlag<Header>;
  return header;
}

// --- reading -------------------------------------------------------------------------------------------------------

template <class Data>
std::optional<Data> read_as(std::span<const std::uint8_t> bytes) {
  if (bytes.size() < sizeof(Data)) return std::nullopt;
  Data data;
  std::memcpy(&data, bytes.data(), sizeof(data));
  return data;
}

std::string_view fixed_text(const char* text, std::size_t size) { return {text, strnlen(text, size)}; }

std::optional<Negatable<PortRange>> read_ports(const std::uint16_t (&ports)[2], bool inverted) {
  if (ports[0] == 0 && ports[1] == 65535 && !inverted) return std::nullopt;
  return Negatable<PortRange>{{ports[0], ports[1]}, inverted};
}

std::optional<Match> decode_ports(std::string_view name, std::span<const std::uint8_t> bytes) {
  if (name == "tcp") {
    const auto data = read_as<xt_tcp>(bytes);
    if (!data || data->flg_mask != 0 || data->option != 0) return std::nullopt;
    return match::Ports{Protocol::tcp, read_ports(data->spts, (data->invflags & XT_TCP_INV_SRCPT) != 0),
                        read_ports(data->dpts, (data->invflags & XT_TCP_INV_DSTPT) != 0)};
  }
  if (name == "udp") {
    const auto data = read_as<xt_udp>(bytes);
    if (!data) return std::nullopt;
    return match::Ports{Protocol::udp, read_ports(data->spts, (data->invflags & XT_UDP_INV_SRCPT) != 0),
                        read_ports(data->dpts, (data->invflags & XT_UDP_INV_DSTPT) != 0)};
  }
  const auto data = read_as<xt_sctp_info>(bytes);
  if (!data || (data->flags & XT_SCTP_CHUNK_TYPES) != 0) return std::nullopt;
  return match::Ports{Protocol::sctp, read_ports(data->spts, (data->invflags & XT_SCTP_SRC_PORTS) != 0),
                      read_ports(data->dpts, (data->invflags & XT_SCTP_DEST_PORTS) != 0)};
}

std::optional<Negatable<match::AddressType>> read_address_type(std::uint16_t type, bool inverted) {
  if (type == 0) return std::nullopt;
  return Negatable<match::AddressType>{static_cast<match::AddressType>(type), inverted};
}

std::optional<Match> decode_addrtype(std::span<const std::uint8_t> bytes) {
  const auto data = read_as<xt_addrtype_info_v1>(bytes);
  constexpr std::uint32_t kKnown = XT_ADDRTYPE_INVERT_SOURCE | XT_ADDRTYPE_INVERT_DEST;
  if (!data || (data->flags & ~kKnown) != 0) return std::nullopt;
  return match::AddrType{read_address_type(data->source, (data->flags & XT_ADDRTYPE_INVERT_SOURCE) != 0),
                         read_address_type(data->dest, (data->flags & XT_ADDRTYPE_INVERT_DEST) != 0)};
}

std::optional<Match> decode_devgroup(std::span<const std::uint8_t> bytes) {
  const auto data = read_as<xt_devgroup_info>(bytes);
  if (!data) return std::nullopt;
  match::DevGroup result;
  if ((data->flags & XT_DEVGROUP_MATCH_SRC) != 0) {
    if (data->src_mask != UINT32_MAX) return std::nullopt;
    result.source = {data->src_group, (data->flags & XT_DEVGROUP_INVERT_SRC) != 0};
  }
  if ((data->flags & XT_DEVGROUP_MATCH_DST) != 0) {
    if (data->dst_mask != UINT32_MAX) return std::nullopt;
    result.destination = {data->dst_group, (data->flags & XT_DEVGROUP_INVERT_DST) != 0};
  }
  return result;
}

std::optional<Match> decode_conntrack(std::span<const std::uint8_t> bytes) {
  const auto data = read_as<xt_conntrack_mtinfo3>(bytes);
  if (!data || data->match_flags != XT_CONNTRACK_STATE) return std::nullopt;
  match::ConnTrack result;
  result.negated = (data->invert_flags & XT_CONNTRACK_STATE) != 0;
  for (const auto& [ours, kernels] : kStateBits) {
    if ((data->state_mask & kernels) != 0) result.states = static_cast<std::uint16_t>(result.states | ours);
  }
  return result;
}

std::optional<Match> decode_known_match(Family family, std::string_view name, std::uint8_t revision,
                                        std::span<const std::uint8_t> bytes) {
  if (revision == 0 && (name == "tcp" || name == "udp" || name == "sctp")) return decode_ports(name, bytes);
  if (name == "addrtype" && revision == 1) return decode_addrtype(bytes);
  if (name == "devgroup" && revision == 0) return decode_devgroup(bytes);
  if (name == "conntrack" && revision == 3) return decode_conntrack(bytes);
  if (name == (family == Family::v4 ? "icmp" : "icmp6") && revision == 0) {
    const auto data = read_as<ipt_icmp>(bytes);
    if (!data || data->code[0] != 0 || data->code[1] != 0xff || data->invflags != 0) return std::nullopt;
    return match::IcmpType{data->type};
  }
  if (name == "comment" && revision == 0) {
    const auto data = read_as<xt_comment_info>(bytes);
    if (!data) return std::nullopt;
    return match::Comment{std::string(fixed_text(data->comment, sizeof(data->comment)))};
  }
  return std::nullopt;
}

IpAddress read_address(const in_addr& address) { return IpAddress::v4(ntohl(address.s_addr)); }
IpAddress read_address(const in6_addr& address) {
  std::array<std::uint8_t, 16> bytes{};
  std::memcpy(bytes.data(), &address, bytes.size());
  return IpAddress::v6(bytes);
}
IpAddress read_address(Family family, const nf_inet_addr& address) {
  return family == Family::v4 ? read_address(address.in) : read_address(address.in6);
}

bool is_one_address(const nf_inet_addr& first, const nf_inet_addr& last) {
  return std::equal(std::begin(first.all), std::end(first.all), std::begin(last.all));
}

std::optional<Target> decode_dnat(Family family, std::uint8_t revision, std::span<const std::uint8_t> bytes) {
  const auto range = read_as<nf_nat_range2>(bytes);
  constexpr std::uint32_t kKnown = NF_NAT_RANGE_MAP_IPS | NF_NAT_RANGE_PROTO_SPECIFIED | kOffsetFlag;
  if (revision != 2 || !range || (range->flags & ~kKnown) != 0 || !is_one_address(range->min_addr, range->max_addr)) {
    return std::nullopt;
  }
  target::Dnat dnat{read_address(family, range->min_addr), std::nullopt, std::nullopt};
  if ((range->flags & NF_NAT_RANGE_PROTO_SPECIFIED) != 0) {
    dnat.ports = PortRange{ntohs(range->min_proto.all), ntohs(range->max_proto.all)};
  }
  if ((range->flags & kOffsetFlag) != 0) dnat.base = ntohs(range->base_proto.all);
  return dnat;
}

std::optional<Target> decode_source_nat_v4(std::string_view name, std::uint8_t revision,
                                           std::span<const std::uint8_t> bytes) {
  const auto ranges = read_as<nf_nat_ipv4_multi_range_compat>(bytes);
  if (revision != 0 || !ranges) return std::nullopt;
  const auto& range = ranges->range[0];
  if (name == "MASQUERADE" && range.flags == 0) return target::Masquerade{};
  if (name == "SNAT" && range.flags == NF_NAT_RANGE_MAP_IPS && range.min_ip == range.max_ip) {
    return target::Snat{read_address(in_addr{range.min_ip})};
  }
  return std::nullopt;
}

std::optional<Target> decode_source_nat_v6(std::string_view name, std::uint8_t revision,
                                           std::span<const std::uint8_t> bytes) {
  const auto range = read_as<nf_nat_range>(bytes);
  if (!range) return std::nullopt;
  if (name == "MASQUERADE" && revision == 0 && range->flags == 0) return target::Masquerade{};
  const bool one = range->flags == NF_NAT_RANGE_MAP_IPS && is_one_address(range->min_addr, range->max_addr);
  if (name == "SNAT" && revision == kSnatRevisionV6 && one) return target::Snat{read_address(range->min_addr.in6)};
  return std::nullopt;
}

Target decode_target(Family family, std::span<const std::uint8_t> block, std::string_view name) {
  const auto data = block.subspan(std::min<std::size_t>(block.size(), XT_ALIGN(sizeof(xt_entry_target))));
  xt_entry_target head{};
  std::memcpy(&head, block.data(), std::min(block.size(), sizeof(head)));
  const std::uint8_t revision = head.u.user.revision;
  // The standard target has an empty name of its own; libiptc tells what it stands for.
  if (head.u.user.name[0] == '\0') {
    if (name.empty()) return target::None{};
    if (name == "ACCEPT") return target::Accept{};
    if (name == "DROP") return target::Drop{};
    if (name == "RETURN") return target::Return{};
    return target::Jump{std::string(name)};
  }
  std::optional<Target> known;
  if (name == "DNAT") known = decode_dnat(family, revision, data);
  if (name == "SNAT" || name == "MASQUERADE") {
    known =
        family == Family::v4 ? decode_source_nat_v4(name, revision, data) : decode_source_nat_v6(name, revision, data);
  }
  if (known) return *known;
  return target::Opaque{std::string(name), revision, {data.begin(), data.end()}};
}

std::string read_interface(const char (&name)[IFNAMSIZ], const unsigned char (&mask)[IFNAMSIZ]) {
  const std::string text(fixed_text(name, IFNAMSIZ));
  const bool exact = text.size() < IFNAMSIZ && mask[text.size()] == 0xff;
  return exact ? text : text + "+";
}

// The number of bits set in a mask. (A mask with holes is nothing we write.)
template <class Address>
int read_mask(const Address& mask) {
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(&mask);
  return std::accumulate(bytes, bytes + sizeof(mask), 0,
                         [](int sum, std::uint8_t byte) { return sum + std::popcount(byte); });
}

template <class Header>
void decode_header(const Header& header, Rule& rule) {
  const auto inverted = [&header](unsigned flag) { return (header.invflags & flag) != 0; };
  const int source_bits = read_mask(header.smsk);
  if (source_bits != 0 || inverted(IPT_INV_SRCIP)) {
    rule.source = {Subnet::containing(read_address(header.src), source_bits), inverted(IPT_INV_SRCIP)};
  }
  const int destination_bits = read_mask(header.dmsk);
  if (destination_bits != 0 || inverted(IPT_INV_DSTIP)) {
    rule.destination = {Subnet::containing(read_address(header.dst), destination_bits), inverted(IPT_INV_DSTIP)};
  }
  if (header.iniface_mask[0] != 0) {
    rule.in = {read_interface(header.iniface, header.iniface_mask), inverted(IPT_INV_VIA_IN)};
  }
  if (header.outiface_mask[0] != 0) {
    rule.out = {read_interface(header.outiface, header.outiface_mask), inverted(IPT_INV_VIA_OUT)};
  }
  if (header.proto != 0) rule.protocol = {static_cast<std::uint8_t>(header.proto), inverted(XT_INV_PROTO)};
}

// What the header says about the target, and of fragments (IPv6 has a match for those).
template <class Header>
void decode_flags(const Header& header, Rule& rule) {
  const auto* jump = std::get_if<target::Jump>(&rule.target);
  if (jump != nullptr && (header.flags & kGotoFlag<Header>) != 0) rule.target = target::Goto{std::string(jump->chain)};
  if constexpr (!kIsV6<Header>) {
    if ((header.flags & IPT_F_FRAG) != 0) rule.matches.push_back(match::Opaque{"fragment", 0, {}});
  }
}

// All zero if the entry is cut short.
template <class Entry>
Entry head_of(std::span<const std::uint8_t> entry) {
  Entry head{};
  if (entry.size() >= sizeof(head)) std::memcpy(&head, entry.data(), sizeof(head));
  return head;
}

template <class Entry>
std::size_t target_offset_of(std::span<const std::uint8_t> entry) {
  return std::min<std::size_t>(head_of<Entry>(entry).target_offset, entry.size());
}

// Calls visit(name, revision, data) for each match of the entry until it returns true.
template <class Entry, class Visit>
void for_each_match(std::span<const std::uint8_t> entry, Visit visit) {
  const std::size_t target_offset = target_offset_of<Entry>(entry);
  std::size_t at = sizeof(Entry);
  while (at + sizeof(xt_entry_match) <= target_offset) {
    xt_entry_match head;
    std::memcpy(&head, entry.data() + at, sizeof(head));
    const std::size_t size = head.u.user.match_size;
    if (size < sizeof(head) || at + size > target_offset) return;
    const auto data = entry.subspan(at + XT_ALIGN(sizeof(head)), size - XT_ALIGN(sizeof(head)));
    // The name is read from the entry itself: a view into it outlives this loop.
    const auto* raw = reinterpret_cast<const xt_entry_match*>(entry.data() + at);
    if (visit(fixed_text(raw->u.user.name, sizeof(raw->u.user.name)), head.u.user.revision, data)) return;
    at += size;
  }
}

void set_header(ipt_entry& entry, const Rule& rule) { entry.ip = encode_header<ipt_ip>(rule); }
void set_header(ip6t_entry& entry, const Rule& rule) { entry.ipv6 = encode_header<ip6t_ip6>(rule); }
const ipt_ip& header_in(const ipt_entry& entry) { return entry.ip; }
const ip6t_ip6& header_in(const ip6t_entry& entry) { return entry.ipv6; }

template <class Entry>
std::vector<std::uint8_t> encode_as(const Rule& rule) {
  std::vector<std::uint8_t> bytes(sizeof(Entry));
  for (const auto& match : rule.matches) {
    const auto block = encode_match(match, rule.family);
    bytes.insert(bytes.end(), block.begin(), block.end());
  }
  Entry head{};
  set_header(head, rule);
  head.target_offset = static_cast<std::uint16_t>(bytes.size());
  const auto target = encode_target(rule.target, rule.family);
  bytes.insert(bytes.end(), target.begin(), target.end());
  head.next_offset = static_cast<std::uint16_t>(bytes.size());
  std::memcpy(bytes.data(), &head, sizeof(head));
  return bytes;
}

Match decode_any_match(Family family, std::string_view name, std::uint8_t revision,
                       std::span<const std::uint8_t> data) {
  if (auto known = decode_known_match(family, name, revision, data)) return std::move(*known);
  return match::Opaque{std::string(name), revision, {data.begin(), data.end()}};
}

template <class Entry>
Rule decode_as(Family family, std::span<const std::uint8_t> entry, std::string_view target) {
  Rule rule;
  rule.family = family;
  if (entry.size() < sizeof(Entry)) return rule;
  const auto head = head_of<Entry>(entry);
  decode_header(header_in(head), rule);
  for_each_match<Entry>(entry, [&](std::string_view name, std::uint8_t revision, std::span<const std::uint8_t> data) {
    rule.matches.push_back(decode_any_match(family, name, revision, data));
    return false;
  });
  rule.target = decode_target(family, entry.subspan(target_offset_of<Entry>(entry)), target);
  decode_flags(header_in(head), rule);
  return rule;
}

template <class Entry>
std::string_view comment_as(std::span<const std::uint8_t> entry) {
  std::string_view text;
  for_each_match<Entry>(entry, [&](std::string_view name, std::uint8_t, std::span<const std::uint8_t> data) {
    if (name != "comment") return false;
    text = fixed_text(reinterpret_cast<const char*>(data.data()), data.size());
    return true;
  });
  return text;
}

}  // namespace

std::vector<std::uint8_t> encode(const Rule& rule) {
  return rule.family == Family::v4 ? encode_as<ipt_entry>(rule) : encode_as<ip6t_entry>(rule);
}

Rule decode(Family family, std::span<const std::uint8_t> entry, std::string_view target) {
  return family == Family::v4 ? decode_as<ipt_entry>(family, entry, target)
                              : decode_as<ip6t_entry>(family, entry, target);
}

Match decode_match(Family family, std::string_view name, std::uint8_t revision, std::span<const std::uint8_t> data) {
  return decode_any_match(family, name, revision, data);
}

std::string_view comment_of(Family family, std::span<const std::uint8_t> entry) {
  return family == Family::v4 ? comment_as<ipt_entry>(entry) : comment_as<ip6t_entry>(entry);
}

}  // namespace mb::kernel
