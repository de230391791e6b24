// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/kernel/conntrack.h"

#include <arpa/inet.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include <fmt/format.h>

#include "src/kernel/netlink.h"

namespace mb::kernel {
namespace {

// Which parts of a tuple a filtered dump compares; bits of CTA_FILTER_ORIG_FLAGS (net/netfilter/nf_internals.h of the
// kernel, since 5.8; older ones ignore the filter, so every entry is looked at again here).
constexpr std::uint32_t kCompareProtocol = 1U << 3;
constexpr std::uint32_t kCompareDestinationPort = 1U << 5;

int number_of(Family family) { return family == Family::v4 ? AF_INET : AF_INET6; }

Message conntrack_message(int operation, int flags, int family) {
  nfgenmsg header{};
  header.nfgen_family = static_cast<__u8>(family);
  header.version = NFNETLINK_V0;
  return Message(NFNL_SUBSYS_CTNETLINK << 8 | operation, flags, header);
}

std::optional<IpAddress> address_in(const Attributes& ip, int v4, int v6) {
  if (const auto word = ip.u32(v4)) return IpAddress::v4(ntohl(*word));
  const auto bytes = ip.bytes(v6);
  std::array<std::uint8_t, 16> all{};
  if (bytes.size() < all.size()) return std::nullopt;
  std::copy_n(bytes.begin(), all.size(), all.begin());
  return IpAddress::v6(all);
}

// Nothing for protocols without ports: they cannot be published.
std::optional<Flow> parse_flow(const nlmsghdr& reply) {
  const Attributes attributes(reply, sizeof(nfgenmsg));
  const Attributes original = attributes.nested(CTA_TUPLE_ORIG);
  const Attributes ip = original.nested(CTA_TUPLE_IP);
  const Attributes proto = original.nested(CTA_TUPLE_PROTO);
  const auto number = proto.u8(CTA_PROTO_NUM);
  const auto source = address_in(ip, CTA_IP_V4_SRC, CTA_IP_V6_SRC);
  const auto destination = address_in(ip, CTA_IP_V4_DST, CTA_IP_V6_DST);
  const auto reply_source =
      address_in(attributes.nested(CTA_TUPLE_REPLY).nested(CTA_TUPLE_IP), CTA_IP_V4_SRC, CTA_IP_V6_SRC);
  const bool known = number == IPPROTO_TCP || number == IPPROTO_UDP || number == IPPROTO_SCTP;
  if (!known || !source || !destination || !reply_source) return std::nullopt;
  Flow flow;
  flow.protocol = static_cast<Protocol>(*number);
  flow.source = *source;
  flow.source_port = ntohs(proto.u16(CTA_PROTO_SRC_PORT).value_or(0));
  flow.destination = *destination;
  flow.destination_port = ntohs(proto.u16(CTA_PROTO_DST_PORT).value_or(0));
  flow.reply_source = *reply_source;
  return flow;
}

bool is_answered_wrongly(const Flow& flow, const FlowQuery& query) {
  const PublishedPort& port = *query.published;
  const bool addressed = flow.protocol == port.protocol && flow.destination.family() == port.host_address.family() &&
                         port.host_ports.contains(flow.destination_port) &&
                         (port.host_address.is_any() || port.host_address == flow.destination);
  return addressed && (!query.expected || flow.reply_source != *query.expected);
}

bool matches(const Flow& flow, const FlowQuery& query) {
  if (query.gone &&
      (flow.source == *query.gone || flow.destination == *query.gone || flow.reply_source == *query.gone)) {
    return true;
  }
  return query.published && is_answered_wrongly(flow, query);
}

std::set<Family> families_of(const std::vector<FlowQuery>& queries) {
  std::set<Family> families;
  for (const auto& query : queries) {
    if (query.published) families.insert(query.published->host_address.family());
    if (query.gone) families.insert(query.gone->family());
  }
  return families;
}

// What the kernel can leave out by itself: when all that is asked for is one protocol, or even one port of it.
void put_filter(Message& message, const std::vector<FlowQuery>& queries) {
  const auto& first = queries.front();
  const bool one_protocol = std::all_of(queries.begin(), queries.end(), [&](const FlowQuery& query) {
    return query.published && first.published && !query.gone && query.published->protocol == first.published->protocol;
  });
  if (!one_protocol) return;
  const bool one_port = queries.size() == 1 && first.published->host_ports.count() == 1;
  message.nest(CTA_TUPLE_ORIG, [&] {
    message.nest(CTA_TUPLE_PROTO, [&] {
      message.put_u8(CTA_PROTO_NUM, static_cast<std::uint8_t>(first.published->protocol));
      if (one_port) message.put_u16(CTA_PROTO_DST_PORT, htons(first.published->host_ports.first));
    });
  });
  message.nest(CTA_FILTER, [&] {
    message.put_u32(CTA_FILTER_ORIG_FLAGS, kCompareProtocol | (one_port ? kCompareDestinationPort : 0));
  });
}

// Reading the table walks all of the machine's hash buckets (a millisecond) even for a namespace that has no entry.
bool has_flows(Socket& socket) {
  std::uint32_t entries = 0;
  try {
    socket.request(conntrack_message(IPCTNL_MSG_CT_GET_STATS, 0, AF_UNSPEC), "cannot ask connection tracking",
                   [&](const nlmsghdr& reply) {
                     entries = ntohl(Attributes(reply, sizeof(nfgenmsg)).u32(CTA_STATS_GLOBAL_ENTRIES).value_or(0));
                   });
  } catch (const Error& e) {
    if (e.kind() == ErrorKind::privilege) throw;
    return false;  // not in this kernel
  }
  return entries > 0;
}

void put_tuple(Message& message, const Flow& flow) {
  const bool v4 = flow.source.family() == Family::v4;
  message.nest(CTA_TUPLE_ORIG, [&] {
    message.nest(CTA_TUPLE_IP, [&] {
      message.put(v4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC, flow.source.bytes().data(), flow.source.size());
      message.put(v4 ? CTA_IP_V4_DST : CTA_IP_V6_DST, flow.destination.bytes().data(), flow.destination.size());
    });
    message.nest(CTA_TUPLE_PROTO, [&] {
      message.put_u8(CTA_PROTO_NUM, static_cast<std::uint8_t>(flow.protocol));
      message.put_u16(CTA_PROTO_SRC_PORT, htons(flow.source_port));
      message.put_u16(CTA_PROTO_DST_PORT, htons(flow.destination_port));
    });
  });
}

}  // namespace

std::set<Flow> find_flows(const std::vector<FlowQuery>& queries) {
  std::set<Flow> flows;
  if (queries.empty()) return flows;
  Socket socket(NETLINK_NETFILTER);
  if (!has_flows(socket)) return flows;
  for (const Family family : families_of(queries)) {
    Message message = conntrack_message(IPCTNL_MSG_CT_GET, 0, number_of(family));
    put_filter(message, queries);
    const auto found = socket.collect<Flow>(
        message, "cannot list the flows of connection tracking", [&](const nlmsghdr& reply) -> std::optional<Flow> {
          auto flow = parse_flow(reply);
          const bool unwanted = flow && std::any_of(queries.begin(), queries.end(),
                                                    [&](const FlowQuery& query) { return matches(*flow, query); });
          return unwanted ? flow : std::nullopt;
        });
    flows.insert(found.begin(), found.end());
  }
  return flows;
}

void delete_flows(const std::vector<Flow>& flows) {
  if (flows.empty()) return;
  Socket socket(NETLINK_NETFILTER);
  std::vector<Message> messages;
  messages.reserve(flows.size());
  for (const auto& flow : flows) {
    put_tuple(messages.emplace_back(conntrack_message(IPCTNL_MSG_CT_DELETE, 0, number_of(flow.source.family()))), flow);
  }
  socket.request_all(messages, "cannot delete flows of connection tracking", ENOENT);
}

}  // namespace mb::kernel
