// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/kernel/listeners.h"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>

#include <fmt/format.h>

#include "src/kernel/netlink.h"
#include "src/model/host_ports.h"

namespace mb::kernel {
namespace {

namespace fs = std::filesystem;

// An address of IPv4 that a socket of IPv6 is bound to (::ffff:a.b.c.d, RFC 4291, section 2.5.5.2) is one of IPv4.
bool is_mapped(const __be32 (&words)[4]) { return words[0] == 0 && words[1] == 0 && words[2] == htonl(0xffff); }

IpAddress address_of(int family, const __be32 (&words)[4]) {
  if (family == AF_INET) return IpAddress::v4(ntohl(words[0]));
  if (is_mapped(words)) return IpAddress::v4(ntohl(words[3]));
  std::array<std::uint8_t, 16> bytes{};
  std::memcpy(bytes.data(), words, bytes.size());
  return IpAddress::v6(bytes);
}

struct Found {
  Listener listener;
  bool takes_ipv4_too = false;
};

std::optional<Found> parse_socket(const nlmsghdr& reply, Protocol protocol) {
  const auto& header = header_of<inet_diag_msg>(reply);
  if (header.idiag_family != AF_INET && header.idiag_family != AF_INET6) return std::nullopt;
  const Attributes attributes(reply, sizeof header);
  if (attributes.u32(INET_DIAG_MARK) == kHeldPortMark) return std::nullopt;
  Found found;
  found.listener = {protocol, address_of(header.idiag_family, header.id.idiag_src), ntohs(header.id.idiag_sport),
                    header.idiag_inode};
  const bool only_v6 = attributes.u8(INET_DIAG_SKV6ONLY).value_or(0) != 0;
  found.takes_ipv4_too = header.idiag_family == AF_INET6 && !only_v6 && found.listener.address.is_any();
  if (found.listener.port == 0) return std::nullopt;
  return found;
}

Message question_by_family(Protocol protocol, int family) {
  inet_diag_req_v2 header{};
  header.sdiag_family = static_cast<__u8>(family);
  header.sdiag_protocol = static_cast<__u8>(protocol);
  // The states are TCP's for all of them; a UDP socket that is not connected is in TCP_CLOSE.
  header.idiag_states = 1U << (protocol == Protocol::udp ? TCP_CLOSE : TCP_LISTEN);
  return Message(SOCK_DIAG_BY_FAMILY, 0, header);
}

std::vector<Message> questions_about(Protocol protocol) {
  std::vector<Message> questions;
  if (protocol == Protocol::tcp) {
    // The older form of the question is answered for both families at once. For each the kernel walks a table of its
    // whole machine, up to a megabyte of it: that is seen in the time of an attach.
    inet_diag_req header{};
    header.idiag_family = AF_INET;
    header.idiag_states = 1U << TCP_LISTEN;
    questions.emplace_back(TCPDIAG_GETSOCK, 0, header);
    return questions;
  }
  for (const int family : {AF_INET, AF_INET6}) questions.push_back(question_by_family(protocol, family));
  return questions;
}

std::vector<Found> ask(Socket& socket, Protocol protocol, const Message& question) {
  try {
    return socket.collect<Found>(question, fmt::format("cannot list {} sockets", to_string(protocol)),
                                 [&](const nlmsghdr& reply) { return parse_socket(reply, protocol); });
  } catch (const Error& e) {
    if (e.error_number() == ENOENT || e.error_number() == EOPNOTSUPP) return {};  // no such protocol in this kernel
    throw;
  }
}

// Whether one of the process's descriptors is the socket. What we may not see is passed over.
bool holds(const fs::path& process, const std::string& socket) {
  std::error_code failed;
  for (auto entry = fs::directory_iterator(process / "fd", failed); entry != fs::directory_iterator();
       entry.increment(failed)) {
    std::error_code gone;
    if (fs::read_symlink(entry->path(), gone) == socket) return true;
  }
  return false;
}

bool is_number(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

}  // namespace

std::vector<Listener> find_listeners(Protocol protocol) {
  Socket socket(NETLINK_SOCK_DIAG);
  std::vector<Listener> listeners;
  for (const auto& question : questions_about(protocol)) {
    for (const auto& found : ask(socket, protocol, question)) {
      listeners.push_back(found.listener);
      if (!found.takes_ipv4_too) continue;
      listeners.push_back(found.listener);
      listeners.back().address = IpAddress::any(Family::v4);
    }
  }
  return listeners;
}

std::optional<std::string> find_holder(std::uint64_t inode) {
  if (inode == 0) return std::nullopt;
  const std::string socket = fmt::format("socket:[{}]", inode);
  std::error_code failed;
  for (auto entry = fs::directory_iterator("/proc", failed); entry != fs::directory_iterator();
       entry.increment(failed)) {
    const std::string pid = entry->path().filename();
    if (!is_number(pid) || !holds(entry->path(), socket)) continue;
    std::string command;
    std::ifstream file(entry->path() / "comm");
    std::getline(file, command);
    return fmt::format("{} (pid {})", command, pid);
  }
  return std::nullopt;
}

}  // namespace mb::kernel
