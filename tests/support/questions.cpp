// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/support/questions.h"

#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <netinet/in.h>
#include <poll.h>
#include <resolv.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <map>
#include <stdexcept>

namespace mb::test {
namespace {

using Packet = std::vector<unsigned char>;

std::string reverse_name(const std::string& address) {
  std::array<unsigned char, 16> bytes{};
  std::string name;
  if (::inet_pton(AF_INET, address.c_str(), bytes.data()) == 1) {
    for (int i = 3; i >= 0; --i) name += std::to_string(bytes.at(static_cast<std::size_t>(i))) + ".";
    return name + "in-addr.arpa";
  }
  if (::inet_pton(AF_INET6, address.c_str(), bytes.data()) != 1) throw std::runtime_error("not an address: " + address);
  constexpr const char* kDigits = "0123456789abcdef";
  for (int i = 15; i >= 0; --i) {
    const auto byte = bytes.at(static_cast<std::size_t>(i));
    name += {kDigits[byte & 15], '.', kDigits[byte >> 4], '.'};
  }
  return name + "ip6.arpa";
}

Packet question(const std::string& name, const std::string& type) {
  static const std::map<std::string, int> kTypes{{"A", ns_t_a}, {"AAAA", ns_t_aaaa}, {"PTR", ns_t_ptr}};
  Packet packet(NS_PACKETSZ);
  const int size = ::res_mkquery(ns_o_query, type == "PTR" ? reverse_name(name).c_str() : name.c_str(), ns_c_in,
                                 kTypes.at(type), nullptr, 0, nullptr, packet.data(), static_cast<int>(packet.size()));
  if (size < 0) throw std::runtime_error("not a name: " + name);
  packet.resize(static_cast<std::size_t>(size));
  return packet;
}

std::string text_of(const ns_msg& message, const ns_rr& record) {
  std::array<char, NS_MAXDNAME> text{};
  if (ns_rr_type(record) == ns_t_ptr) {
    ::ns_name_uncompress(ns_msg_base(message), ns_msg_end(message), ns_rr_rdata(record), text.data(), text.size());
  } else {
    const int family = ns_rr_type(record) == ns_t_a ? AF_INET : AF_INET6;
    ::inet_ntop(family, ns_rr_rdata(record), text.data(), text.size());
  }
  return text.data();
}

Answer read_answer(const Packet& packet) {
  ns_msg message{};
  if (::ns_initparse(packet.data(), static_cast<int>(packet.size()), &message) != 0) return {Answer::kOther, {}};
  Answer answer;
  for (int i = 0; i < ns_msg_count(message, ns_s_an); ++i) {
    ns_rr record{};
    if (::ns_parserr(&message, ns_s_an, i, &record) == 0) answer.records.push_back(text_of(message, record));
  }
  std::sort(answer.records.begin(), answer.records.end());
  switch (ns_msg_getflag(message, ns_f_rcode)) {
    case ns_r_noerror: answer.kind = answer.records.empty() ? Answer::kNoData : Answer::kFound; break;
    case ns_r_nxdomain: answer.kind = Answer::kNoSuchName; break;
    case ns_r_refused: answer.kind = Answer::kRefused; break;
    default: answer.kind = Answer::kOther;
  }
  return answer;
}

bool readable(int fd, std::chrono::milliseconds deadline) {
  pollfd entry{fd, POLLIN, 0};
  return ::poll(&entry, 1, static_cast<int>(deadline.count())) > 0;
}

bool connect_to(int fd, const std::string& server) {
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_port = htons(NS_DEFAULTPORT);
  if (::inet_pton(AF_INET, server.c_str(), &v4.sin_addr) == 1) {
    return ::connect(fd, reinterpret_cast<const sockaddr*>(&v4), sizeof v4) == 0;
  }
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(NS_DEFAULTPORT);
  ::inet_pton(AF_INET6, server.c_str(), &v6.sin6_addr);
  return ::connect(fd, reinterpret_cast<const sockaddr*>(&v6), sizeof v6) == 0;
}

Packet receive(int fd, Over over, std::chrono::milliseconds deadline) {
  Packet packet;
  std::array<unsigned char, 4096> block{};
  while (readable(fd, deadline)) {
    const ssize_t got = ::recv(fd, block.data(), block.size(), 0);
    if (got <= 0) return {};
    packet.insert(packet.end(), block.begin(), block.begin() + got);
    if (over == Over::kUdp) return packet;
    if (packet.size() < 2) continue;
    const std::size_t size = static_cast<std::size_t>(packet[0]) << 8 | packet[1];
    if (packet.size() >= size + 2) return {packet.begin() + 2, packet.end()};
  }
  return {};
}

}  // namespace

Answer ask(const netns::Namespace& from, const std::string& server, const std::string& name, const std::string& type,
           Over over, std::chrono::milliseconds deadline) {
  const bool v6 = server.find(':') != std::string::npos;
  const int kind = over == Over::kUdp ? SOCK_DGRAM : SOCK_STREAM;
  const netns::UniqueFd fd(
      netns::run_in(from, [&] { return ::socket(v6 ? AF_INET6 : AF_INET, kind | SOCK_CLOEXEC, 0); }));
  Packet packet = question(name, type);
  if (over == Over::kTcp) {
    const std::array<unsigned char, 2> size{static_cast<unsigned char>(packet.size() >> 8),
                                            static_cast<unsigned char>(packet.size() & 255)};
    packet.insert(packet.begin(), size.begin(), size.end());
  }
  if (!connect_to(fd.get(), server)) return {};
  if (::send(fd.get(), packet.data(), packet.size(), MSG_NOSIGNAL) < 0) return {};
  const Packet reply = receive(fd.get(), over, deadline);
  return reply.empty() ? Answer{} : read_answer(reply);
}

Answer found(std::vector<std::string> records) {
  std::sort(records.begin(), records.end());
  return {Answer::kFound, std::move(records)};
}

Answer no_such_name() { return {Answer::kNoSuchName, {}}; }

std::ostream& operator<<(std::ostream& stream, const Answer& answer) {
  static const std::map<Answer::Kind, std::string> kKinds{
      {Answer::kNone, "no answer"}, {Answer::kFound, "found"},     {Answer::kNoSuchName, "no such name"},
      {Answer::kNoData, "no data"}, {Answer::kRefused, "refused"}, {Answer::kOther, "another answer"}};
  stream << kKinds.at(answer.kind);
  for (const auto& record : answer.records) stream << " " << record;
  return stream;
}

}  // namespace mb::test
