// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/lab/journey.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "src/lab/columns.h"
#include "src/lab/journey_draw.h"
#include "src/lab/sort_packets.h"

namespace mb::lab {
namespace {

using testing::HasSubstr;
using testing::Not;

SocketAddress at(const char* address, std::uint16_t port) { return {IpAddress::parse(address), port}; }

Packet packet(std::int64_t time, const char* node, const char* interface, Direction direction, bool reply,
              const SocketAddress& source, const SocketAddress& dest) {
  return {time, {{node, ""}, interface}, direction, reply, 6, source, dest, 2, 0};
}

const SocketAddress kClient = at("192.168.57.1", 43210);
const SocketAddress kAsked = at("192.168.57.3", 12347);
const SocketAddress kServer = at("183.3.226.35", 80);
const SocketAddress kMasked = at("10.0.2.15", 61000);

Request forwarded_request() {
  Request request;
  request.from = {"workstation", ""};
  request.to = kAsked.address;
  request.to_port = kAsked.port;
  return request;
}

// DNAT and SNAT on the vm in the middle.
Observation forwarded() {
  Observation seen;
  seen.outcome = {Outcome::reached};
  seen.client = kClient;
  seen.seen = container::Sighting{kMasked, kServer, 2};
  seen.packets = {
      packet(1, "workstation", "eth1", Direction::out, false, kClient, kAsked),
      packet(2, "vm", "enp0s9", Direction::in, false, kClient, kAsked),
      packet(3, "vm", "enp0s3", Direction::out, false, kMasked, kServer),
      packet(4, "internet", "eth0", Direction::in, false, kMasked, kServer),
      packet(5, "internet", "eth0", Direction::out, true, kServer, kMasked),
      packet(6, "vm", "enp0s3", Direction::in, true, kServer, kMasked),
      packet(7, "vm", "enp0s9", Direction::out, true, kAsked, kClient),
      packet(8, "workstation", "eth1", Direction::in, true, kAsked, kClient),
      packet(9, "workstation", "eth1", Direction::out, false, kClient, kAsked),
  };
  seen.tracked = {{{"vm", ""}, 6, kClient, kAsked, kServer, kMasked},
                  {{"vm", ""}, 6, at("192.168.57.1", 1), kAsked, kServer, kMasked}};
  return seen;
}

TEST(Journey, GoesFromSocketToSocketAndSaysWhichHookChangedWhat) {
  const auto journey = journey_of(forwarded_request(), forwarded());
  ASSERT_EQ(journey.request.size(), 6U);
  EXPECT_EQ(journey.request.front().kind, Hop::at_socket);
  EXPECT_EQ(journey.request.back().place.node, "internet");
  EXPECT_EQ(journey.request[3].dest_changed_in, Hook::prerouting);
  EXPECT_EQ(journey.request[3].source_changed_in, Hook::postrouting);
  EXPECT_FALSE(journey.request[2].dest_changed_in);
  ASSERT_EQ(journey.reply.size(), 6U);
  EXPECT_EQ(journey.reply[3].source_changed_in, Hook::postrouting);
  EXPECT_EQ(journey.reply[3].dest_changed_in, Hook::prerouting);
  EXPECT_EQ(journey.reply.back().kind, Hop::at_socket);
}

TEST(Journey, RemembersOnlyTheEntryThatTookPart) {
  const auto journey = journey_of(forwarded_request(), forwarded());
  ASSERT_EQ(journey.memories.size(), 1U);
  EXPECT_EQ(journey.memories[0].reply_dest, kMasked);
}

TEST(Journey, ADroppedRequestEndsWhereItWasLastSeen) {
  auto seen = forwarded();
  seen.outcome = {Outcome::dropped};
  seen.seen.reset();
  seen.packets.resize(2);
  const auto journey = journey_of(forwarded_request(), seen);
  EXPECT_EQ(journey.request.back().interface, "enp0s9");
  EXPECT_TRUE(journey.reply.empty());
  EXPECT_THAT(draw_table(journey, Language::en), HasSubstr("the packet ends here"));
  EXPECT_THAT(draw_mermaid(journey, Language::zh), HasSubstr("数据包到此为止"));
}

TEST(Journey, OnTheMachineItselfTheDestinationChangesInOutput) {
  Observation seen;
  seen.outcome = {Outcome::reached};
  seen.client = at("127.0.0.1", 40000);
  seen.seen = container::Sighting{at("127.0.0.1", 40000), at("127.0.0.1", 1234), at("127.0.0.1", 12347)};
  seen.packets = {packet(1, "vm", "lo", Direction::out, false, at("127.0.0.1", 40000), at("127.0.0.1", 1234)),
                  packet(2, "vm", "lo", Direction::in, false, at("127.0.0.1", 40000), at("127.0.0.1", 1234))};
  Request request = forwarded_request();
  request.from = {"vm", ""};
  request.to = IpAddress::parse("127.0.0.1");
  const auto journey = journey_of(request, seen);
  EXPECT_EQ(journey.request.at(1).dest_changed_in, Hook::output);
}

TEST(Journey, LooksTheSameInEveryRunOnceItsPortsAreStable) {
  auto other = forwarded();
  for (auto& each : other.packets) {
    for (auto* end : {&each.source, &each.dest}) {
      if (end->port == 43210) end->port = 39999;
      if (end->port == 61000) end->port = 1025;
    }
  }
  other.client->port = 39999;
  other.seen->source.port = 1025;
  other.tracked[0].original_source.port = 39999;
  other.tracked[0].reply_dest.port = 1025;
  const std::vector<std::uint16_t> named{12347, 80};
  const auto one = with_stable_ports(journey_of(forwarded_request(), forwarded()), named);
  EXPECT_EQ(one, with_stable_ports(journey_of(forwarded_request(), other), named));
  EXPECT_EQ(one.request.front().source.port, 50001);
  EXPECT_EQ(one.request.front().dest.port, 12347);
}

TEST(Journey, LooksTheSameWhateverMinibridgeCallsItsInterfaces) {
  const auto with_names = [](const std::string& first, const std::string& second) {
    auto seen = forwarded();
    for (auto& each : seen.packets) {
      if (each.at.interface == "enp0s9") each.at.interface = first;
      if (each.at.interface == "enp0s3") each.at.interface = second;
    }
    return with_stable_interfaces(journey_of(forwarded_request(), seen));
  };
  const auto one = with_names("mb2ce9fcb510b8", "mb7879869bcdca");
  EXPECT_EQ(one, with_names("mbfe4aac4c7b11", "mb49db7f376d48"));
  EXPECT_EQ(one.request.at(2).interface, "mb000000000001");
  EXPECT_EQ(one.reply.at(2).interface, "mb000000000002");
  EXPECT_EQ(with_names("mybridge", "mb0").request.at(2).interface, "mybridge");
}

TEST(JourneyDrawing, MarksWhatChangedWithBracketsAndTheChain) {
  const auto text = draw_table(journey_of(forwarded_request(), forwarded()), Language::en);
  EXPECT_THAT(text, HasSubstr("[183.3.226.35:80]"));
  EXPECT_THAT(text, HasSubstr("[10.0.2.15:61000]"));
  EXPECT_THAT(text, HasSubstr("PREROUTING"));
  EXPECT_THAT(text, Not(HasSubstr("[192.168.57.3:12347]\n  vm           → enp0s9")));
  EXPECT_THAT(text, HasSubstr("conntrack vm remembers"));
}

TEST(JourneyDrawing, MermaidHasOneArrowPerLink) {
  const auto text = draw_mermaid(journey_of(forwarded_request(), forwarded()), Language::en);
  EXPECT_THAT(text, HasSubstr("participant p0 as workstation"));
  EXPECT_THAT(text, HasSubstr("p0->>p1: 192.168.57.1:43210 → 192.168.57.3:12347"));
  EXPECT_THAT(text, HasSubstr("Note over p1: PREROUTING: destination ⇒ 183.3.226.35:80"));
  EXPECT_THAT(text, HasSubstr("p2-->>p1: 183.3.226.35:80 → 10.0.2.15:61000"));
}

TEST(Columns, AChineseCharacterTakesTwo) {
  EXPECT_EQ(width_of("abc"), 3U);
  EXPECT_EQ(width_of("源地址"), 6U);
  EXPECT_EQ(width_of("→"), 1U);
  EXPECT_EQ(padded("应答", 6), "应答  ");
}

TEST(Columns, BreaksBetweenWordsAndNeverBeforeAClosingMark) {
  EXPECT_EQ(wrapped("one two three", 7), "one two\nthree");
  EXPECT_EQ(wrapped("一二三，四", 6), "一二\n三，四");
  EXPECT_EQ(wrapped("ab cd", 3, "  "), "ab\n  cd");
}

// ---- whose packets, and which way

// The bytes of a TCP packet without data, as far as they are looked at.
std::string tcp(const SocketAddress& source, const SocketAddress& dest, std::uint8_t flags) {
  std::string bytes(40, '\0');
  bytes[0] = 0x45;
  bytes[3] = 40;
  bytes[9] = 6;
  bytes.replace(12, 4, reinterpret_cast<const char*>(source.address.bytes().data()), 4);
  bytes.replace(16, 4, reinterpret_cast<const char*>(dest.address.bytes().data()), 4);
  bytes[20] = static_cast<char>(source.port >> 8);
  bytes[21] = static_cast<char>(source.port & 0xff);
  bytes[22] = static_cast<char>(dest.port >> 8);
  bytes[23] = static_cast<char>(dest.port & 0xff);
  bytes[32] = 0x50;
  bytes[33] = static_cast<char>(flags);
  return bytes;
}

constexpr std::uint8_t kSyn = 0x02;
constexpr std::uint8_t kSynAck = 0x12;
constexpr std::uint8_t kAck = 0x10;
constexpr std::uint8_t kReset = 0x14;

Captured captured(std::int64_t time, std::string bytes) {
  return {time, {{"vm", ""}, "lo"}, Direction::in, std::move(bytes)};
}

TEST(PacketSorter, TellsRequestFromReplyAndOrdersByTime) {
  PacketSorter sorter;
  const auto packets = sorter.sort({captured(3, tcp(kAsked, kClient, kReset)), captured(1, tcp(kClient, kAsked, kSyn))},
                                   RequestProtocol::tcp, "");
  ASSERT_EQ(packets.size(), 2U);
  EXPECT_FALSE(packets[0].reply);
  EXPECT_TRUE(packets[1].reply);
}

// What goes out to the rewritten port comes back from the one that was asked for.
TEST(PacketSorter, OnALoopbackDeviceTheReplyIsNotTheReverseOfTheRequest) {
  const auto rewritten = at("192.168.57.3", 1234);
  PacketSorter sorter;
  const auto packets =
      sorter.sort({captured(1, tcp(kClient, rewritten, kSyn)), captured(2, tcp(kAsked, kClient, kSynAck)),
                   captured(3, tcp(kAsked, kClient, kAck))},
                  RequestProtocol::tcp, "");
  ASSERT_EQ(packets.size(), 3U);
  EXPECT_TRUE(packets[1].reply);
  EXPECT_TRUE(packets[2].reply);
}

TEST(PacketSorter, WhatAnEarlierConnectionStillSaysDoesNotCount) {
  PacketSorter sorter;
  sorter.sort({captured(1, tcp(kClient, kAsked, kSyn))}, RequestProtocol::tcp, "");
  EXPECT_TRUE(sorter.sort({captured(2, tcp(kAsked, kClient, kSynAck))}, RequestProtocol::tcp, "").empty());
  EXPECT_EQ(sorter
                .sort({captured(3, tcp(kClient, kAsked, kSyn)), captured(4, tcp(kAsked, kClient, kSynAck))},
                      RequestProtocol::tcp, "")
                .size(),
            2U)
      << "the same ports, used again";
}

TEST(PacketSorter, OtherProtocolsDoNotCount) {
  PacketSorter sorter;
  EXPECT_TRUE(sorter.sort({captured(1, tcp(kClient, kAsked, kSyn))}, RequestProtocol::udp, "").empty());
  EXPECT_TRUE(sorter.sort({captured(1, "rubbish")}, RequestProtocol::tcp, "").empty());
}

}  // namespace
}  // namespace mb::lab
