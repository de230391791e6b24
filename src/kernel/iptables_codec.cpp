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

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <string>

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

std::vector<std::uint8_t> encode_match(const Match& match) {
  return std::visit(Overloaded{
                        [](const match::Ports& m) { return encode_ports(m); },
                        [](const match::AddrType& m) { return encode_addrtype(m); },
                        [](const match::DevGroup& m) { return encode_devgroup(m); },
                        [](const match::ConnTrack& m) { return encode_conntrack(m); },
                        [](const match::IcmpType& m) {
                          return match_block("icmp", 0, ipt_icmp{m.type, {0, 0xff}, 0});
                        },
                        [](const match::Comment& m) { return encode_comment(m); },
                        [](const match::Opaque& m) {
                          return named_block<xt_entry_match>(m.name, m.revision, m.data.data(), m.data.size());
                        },
                    },
                    match);
}

std::uint32_t network_order(const IpAddress& address) { return htonl(address.to_v4()); }

// ACCEPT, DROP, RETURN and jumps are one kind of target for the kernel; libiptc turns the name into a verdict.
std::vector<std::uint8_t> encode_verdict(std::string_view name) {
  const int verdict = 0;
  return target_block(name, 0, &verdict, sizeof(verdict));
}

std::vector<std::uint8_t> encode_dnat(const target::Dnat& wanted) {
  nf_nat_range2 range{};
  range.flags = NF_NAT_RANGE_MAP_IPS;
  range.min_addr.ip = range.max_addr.ip = network_order(wanted.address);
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

std::vector<std::uint8_t> encode_source_nat(std::string_view name, const std::optional<IpAddress>& address) {
  nf_nat_ipv4_multi_range_compat ranges{};
  ranges.rangesize = 1;
  if (address) {
    ranges.range[0].flags = NF_NAT_RANGE_MAP_IPS;
    ranges.range[0].min_ip = ranges.range[0].max_ip = network_order(*address);
  }
  return target_block(name, 0, &ranges, sizeof(ranges));
}

std::vector<std::uint8_t> encode_target(const Target& target) {
  return std::visit(
      Overloaded{
          [](const target::None&) { return encode_verdict(""); },
          [](const target::Accept&) { return encode_verdict("ACCEPT"); },
          [](const target::Drop&) { return encode_verdict("DROP"); },
          [](const target::Return&) { return encode_verdict("RETURN"); },
          [](const target::Jump& t) { return encode_verdict(t.chain); },
          [](const target::Dnat& t) { return encode_dnat(t); },
          [](const target::Snat& t) { return encode_source_nat("SNAT", t.address); },
          [](const target::Masquerade&) { return encode_source_nat("MASQUERADE", std::nullopt); },
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

void write_address(in_addr& address, in_addr& mask, const Subnet& subnet) {
  address.s_addr = network_order(subnet.base());
  mask.s_addr = subnet.prefix() == 0 ? 0 : htonl(UINT32_MAX << (32 - subnet.prefix()));
}

ipt_ip encode_header(const Rule& rule) {
  ipt_ip header{};
  unsigned inverted = 0;
  if (rule.source) {
    write_address(header.src, header.smsk, rule.source->value);
    if (rule.source->negated) inverted |= IPT_INV_SRCIP;
  }
  if (rule.destination) {
    write_address(header.dst, header.dmsk, rule.destination->value);
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
    if (rule.protocol->negated) inverted |= XT_INV_PROTO;
  }
  header.invflags = static_cast<std::uint8_t>(inverted);
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

std::optional<Match> decode_known_match(std::string_view name, std::uint8_t revision,
                                        std::span<const std::uint8_t> bytes) {
  if (revision == 0 && (name == "tcp" || name == "udp" || name == "sctp")) return decode_ports(name, bytes);
  if (name == "addrtype" && revision == 1) return decode_addrtype(bytes);
  if (name == "devgroup" && revision == 0) return decode_devgroup(bytes);
  if (name == "conntrack" && revision == 3) return decode_conntrack(bytes);
  if (name == "icmp" && revision == 0) {
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

IpAddress from_network_order(std::uint32_t address) { return IpAddress::v4(ntohl(address)); }

std::optional<Target> decode_dnat(std::uint8_t revision, std::span<const std::uint8_t> bytes) {
  const auto range = read_as<nf_nat_range2>(bytes);
  constexpr std::uint32_t kKnown = NF_NAT_RANGE_MAP_IPS | NF_NAT_RANGE_PROTO_SPECIFIED | kOffsetFlag;
  if (revision != 2 || !range || (range->flags & ~kKnown) != 0 || range->min_addr.ip != range->max_addr.ip) {
    return std::nullopt;
  }
  target::Dnat dnat{from_network_order(range->min_addr.ip), std::nullopt, std::nullopt};
  if ((range->flags & NF_NAT_RANGE_PROTO_SPECIFIED) != 0) {
    dnat.ports = PortRange{ntohs(range->min_proto.all), ntohs(range->max_proto.all)};
  }
  if ((range->flags & kOffsetFlag) != 0) dnat.base = ntohs(range->base_proto.all);
  return dnat;
}

std::optional<Target> decode_source_nat(std::string_view name, std::uint8_t revision,
                                        std::span<const std::uint8_t> bytes) {
  const auto ranges = read_as<nf_nat_ipv4_multi_range_compat>(bytes);
  if (revision != 0 || !ranges) return std::nullopt;
  const auto& range = ranges->range[0];
  if (name == "MASQUERADE" && range.flags == 0) return target::Masquerade{};
  if (name == "SNAT" && range.flags == NF_NAT_RANGE_MAP_IPS && range.min_ip == range.max_ip) {
    return target::Snat{from_network_order(range.min_ip)};
  }
  return std::nullopt;
}

Target decode_target(std::span<const std::uint8_t> block, std::string_view name) {
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
  if (name == "DNAT") known = decode_dnat(revision, data);
  if (name == "SNAT" || name == "MASQUERADE") known = decode_source_nat(name, revision, data);
  if (known) return *known;
  return target::Opaque{std::string(name), revision, {data.begin(), data.end()}};
}

std::string read_interface(const char (&name)[IFNAMSIZ], const unsigned char (&mask)[IFNAMSIZ]) {
  const std::string text(fixed_text(name, IFNAMSIZ));
  const bool exact = text.size() < IFNAMSIZ && mask[text.size()] == 0xff;
  return exact ? text : text + "+";
}

Subnet read_address(in_addr address, in_addr mask) {
  return Subnet::containing(from_network_order(address.s_addr), __builtin_popcount(mask.s_addr));
}

void decode_header(const ipt_ip& header, Rule& rule) {
  const auto inverted = [&header](unsigned flag) { return (header.invflags & flag) != 0; };
  if (header.smsk.s_addr != 0 || inverted(IPT_INV_SRCIP)) {
    rule.source = {read_address(header.src, header.smsk), inverted(IPT_INV_SRCIP)};
  }
  if (header.dmsk.s_addr != 0 || inverted(IPT_INV_DSTIP)) {
    rule.destination = {read_address(header.dst, header.dmsk), inverted(IPT_INV_DSTIP)};
  }
  if (header.iniface_mask[0] != 0) {
    rule.in = {read_interface(header.iniface, header.iniface_mask), inverted(IPT_INV_VIA_IN)};
  }
  if (header.outiface_mask[0] != 0) {
    rule.out = {read_interface(header.outiface, header.outiface_mask), inverted(IPT_INV_VIA_OUT)};
  }
  if (header.proto != 0) rule.protocol = {static_cast<std::uint8_t>(header.proto), inverted(XT_INV_PROTO)};
}

// Calls visit(name, revision, data) for each match of the entry until it returns true.
template <class Visit>
void for_each_match(std::span<const std::uint8_t> entry, std::size_t target_offset, Visit visit) {
  std::size_t at = sizeof(ipt_entry);
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

std::size_t target_offset_of(std::span<const std::uint8_t> entry) {
  ipt_entry head;
  if (entry.size() < sizeof(head)) return 0;
  std::memcpy(&head, entry.data(), sizeof(head));
  return std::min<std::size_t>(head.target_offset, entry.size());
}

}  // namespace

std::vector<std::uint8_t> encode_v4(const Rule& rule) {
  std::vector<std::uint8_t> bytes(sizeof(ipt_entry));
  for (const auto& match : rule.matches) {
    const auto block = encode_match(match);
    bytes.insert(bytes.end(), block.begin(), block.end());
  }
  ipt_entry head{};
  head.ip = encode_header(rule);
  head.target_offset = static_cast<std::uint16_t>(bytes.size());
  const auto target = encode_target(rule.target);
  bytes.insert(bytes.end(), target.begin(), target.end());
  head.next_offset = static_cast<std::uint16_t>(bytes.size());
  std::memcpy(bytes.data(), &head, sizeof(head));
  return bytes;
}

Rule decode_v4(std::span<const std::uint8_t> entry, std::string_view target) {
  Rule rule;
  const auto header = read_as<ipt_ip>(entry);  // the entry begins with it
  if (!header || entry.size() < sizeof(ipt_entry)) return rule;
  decode_header(*header, rule);
  const auto target_offset = target_offset_of(entry);
  for_each_match(
      entry, target_offset, [&](std::string_view name, std::uint8_t revision, std::span<const std::uint8_t> data) {
        auto known = decode_known_match(name, revision, data);
        rule.matches.push_back(known ? std::move(*known)
                                     : match::Opaque{std::string(name), revision, {data.begin(), data.end()}});
        return false;
      });
  rule.target = decode_target(entry.subspan(target_offset), target);
  return rule;
}

std::string_view comment_v4(std::span<const std::uint8_t> entry) {
  std::string_view text;
  for_each_match(entry, target_offset_of(entry),
                 [&](std::string_view name, std::uint8_t, std::span<const std::uint8_t> data) {
                   if (name != "comment") return false;
                   text = fixed_text(reinterpret_cast<const char*>(data.data()), data.size());
                   return true;
                 });
  return text;
}

}  // namespace mb::kernel
