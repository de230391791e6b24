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

#include "src/kernel/listeners.h"
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

std::optional<FlowTuple> parse_tuple(const Attributes& tuple) {
  const Attributes ip = tuple.nested(CTA_TUPLE_IP);
  const Attributes proto = tuple.nested(CTA_TUPLE_PROTO);
  const auto source = address_in(ip, CTA_IP_V4_SRC, CTA_IP_V6_SRC);
  const auto destination = address_in(ip, CTA_IP_V4_DST, CTA_IP_V6_DST);
  if (!source || !destination) return std::nullopt;
  return FlowTuple{*source, *destination, ntohs(proto.u16(CTA_PROTO_SRC_PORT).value_or(0)),
                   ntohs(proto.u16(CTA_PROTO_DST_PORT).value_or(0))};
}

std::optional<TrackedFlow> parse_tracked(const nlmsghdr& reply) {
  const Attributes attributes(reply, sizeof(nfgenmsg));
  const auto original = parse_tuple(attributes.nested(CTA_TUPLE_ORIG));
  const auto answer = parse_tuple(attributes.nested(CTA_TUPLE_REPLY));
  const auto protocol = attributes.nested(CTA_TUPLE_ORIG).nested(CTA_TUPLE_PROTO).u8(CTA_PROTO_NUM);
  if (!original || !answer || !protocol) return std::nullopt;
  return TrackedFlow{*protocol, *original, *answer};
}

// A port that is published on every address of the host is none of the flows that the host forwards to that port
// elsewhere. What never is offered a published port (see plan/rules.cpp) cannot contradict one, either.
bool is_at_the_host(const IpAddress& destination, const PublishedPort& port, const std::vector<IpAddress>& own) {
  if (!port.host_address.is_any()) return destination == port.host_address;
  if (destination.family() == Family::v4 && destination.is_loopback()) return true;
  if (destination.is_loopback() || destination.is_link_local()) return false;
  return std::find(own.begin(), own.end(), destination) != own.end();
}

bool is_answered_wrongly(const Flow& flow, const FlowQuery& query) {
  if (query.gone) return flow.reply_source == *query.gone;
  return !query.expected || flow.reply_source != *query.expected;
}

bool matches(const Flow& flow, const FlowQuery& query, const std::vector<IpAddress>& own) {
  if (!query.published) {
    return query.gone &&
           (flow.source == *query.gone || flow.destination == *query.gone || flow.reply_source == *query.gone);
  }
  const PublishedPort& port = *query.published;
  return flow.protocol == port.protocol && flow.destination.family() == port.host_address.family() &&
         port.host_ports.contains(flow.destination_port) && is_answered_wrongly(flow, query) &&
         is_at_the_host(flow.destination, port, own);
}

bool asks_for_own_addresses(const std::vector<FlowQuery>& queries, Family family) {
  return std::any_of(queries.begin(), queries.end(), [&](const FlowQuery& query) {
    return query.published && query.published->host_address == IpAddress::any(family);
  });
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
    return query.published && first.published && query.published->protocol == first.published->protocol;
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

bool is_of_gone(const Flow& flow, const std::vector<FlowQuery>& queries) {
  return std::any_of(queries.begin(), queries.end(), [&](const FlowQuery& query) {
    return query.gone &&
           (flow.source == *query.gone || flow.destination == *query.gone || flow.reply_source == *query.gone);
  });
}

// On port 53 a network's name server answers on the gateway, beside a port that is published on every address.
void leave_out_questions_for_names(std::set<Flow>& flows, const std::vector<FlowQuery>& queries) {
  constexpr std::uint16_t kDomain = 53;
  const auto may_be = [&](const Flow& flow) {
    return flow.destination_port == kDomain && flow.reply_source == flow.destination && !is_of_gone(flow, queries);
  };
  if (std::none_of(flows.begin(), flows.end(), may_be)) return;
  const auto servers = find_listeners(Protocol::udp);
  std::erase_if(flows, [&](const Flow& flow) {
    return may_be(flow) && std::any_of(servers.begin(), servers.end(), [&](const Listener& server) {
             return server.port == kDomain && server.address == flow.destination;
           });
  });
}

}  // namespace

std::set<Flow> find_flows(const std::vector<FlowQuery>& queries, const OwnAddresses& own) {
  std::set<Flow> flows;
  if (queries.empty()) return flows;
  Socket socket(NETLINK_NETFILTER);
  if (!has_flows(socket)) return flows;
  for (const Family family : families_of(queries)) {
    const auto addresses = asks_for_own_addresses(queries, family) ? own(family) : std::vector<IpAddress>();
    Message message = conntrack_message(IPCTNL_MSG_CT_GET, 0, number_of(family));
    put_filter(message, queries);
    const auto found = socket.collect<Flow>(
        message, "cannot list the flows of connection tracking", [&](const nlmsghdr& reply) -> std::optional<Flow> {
          auto flow = parse_flow(reply);
          const bool unwanted = flow && std::any_of(queries.begin(), queries.end(), [&](const FlowQuery& query) {
                                  return matches(*flow, query, addresses);
                                });
          return unwanted ? flow : std::nullopt;
        });
    flows.insert(found.begin(), found.end());
  }
  leave_out_questions_for_names(flows, queries);
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

std::vector<TrackedFlow> all_flows() {
  Socket socket(NETLINK_NETFILTER);
  if (!has_flows(socket)) return {};
  return socket.collect<TrackedFlow>(conntrack_message(IPCTNL_MSG_CT_GET, 0, AF_UNSPEC),
                                     "cannot list the flows of connection tracking", parse_tracked);
}

}  // namespace mb::kernel
