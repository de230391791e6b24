// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/lab/exchange.h"

#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "netns/unique_fd.h"
#include "src/base/error.h"
#include "src/container/raw_address.h"
#include "src/lab/frame.h"

namespace mb::lab {
namespace {

constexpr std::string_view kGreeting = "hello\n";
constexpr std::uint8_t kTtl = 64;

using container::from_raw;
using container::RawAddress;
using container::to_raw;

// The Internet checksum (RFC 1071).
std::uint16_t checksum(std::string_view bytes) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const auto byte = static_cast<std::uint8_t>(bytes[i]);
    sum += i % 2 == 0 ? std::uint32_t{byte} << 8 : byte;
  }
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

void put_u16(std::string& bytes, std::size_t at, std::uint16_t value) {
  bytes[at] = static_cast<char>(value >> 8);
  bytes[at + 1] = static_cast<char>(value & 0xff);
}

std::string bytes_of(const IpAddress& address) {
  return {reinterpret_cast<const char*>(address.bytes().data()), address.size()};
}

// An echo or timestamp request (RFC 792); the kernel computes the checksum of ICMPv6 itself.
std::string icmp_request(const Request& request, std::uint16_t id, const std::string& payload) {
  const bool v6 = request.to.family() == Family::v6;
  std::string bytes(request.timestamp ? 20 : 8, '\0');
  bytes[0] = static_cast<char>(v6 ? ICMP6_ECHO_REQUEST : request.timestamp ? ICMP_TIMESTAMP : ICMP_ECHO);
  put_u16(bytes, 4, id);
  put_u16(bytes, 6, 1);
  if (!request.timestamp) bytes += payload;
  if (!v6) put_u16(bytes, 2, checksum(bytes));
  return bytes;
}

// One TCP packet of IPv4 with the given flags; the kernel fills in what concerns the IP header.
std::string tcp_packet(const SocketAddress& from, const Request& request) {
  constexpr std::size_t kHeader = 20;
  std::string tcp(kHeader, '\0');
  put_u16(tcp, 0, from.port);
  put_u16(tcp, 2, request.to_port);
  put_u16(tcp, 6, 1);  // sequence number 1
  tcp[12] = static_cast<char>(kHeader / 4 << 4);
  tcp[13] = static_cast<char>(*request.tcp_flags);
  put_u16(tcp, 14, 1024);  // window
  std::string pseudo = bytes_of(from.address) + bytes_of(request.to) + std::string("\0\x06\0\x14", 4);
  put_u16(tcp, 16, checksum(pseudo + tcp));
  std::string ip(kHeader, '\0');
  ip[0] = 0x45;
  put_u16(ip, 2, kHeader + kHeader);
  ip[8] = static_cast<char>(kTtl);
  ip[9] = IPPROTO_TCP;
  ip.replace(12, 4, bytes_of(from.address));
  ip.replace(16, 4, bytes_of(request.to));
  return ip + tcp;
}

}  // namespace

struct Exchange::State {
  enum Phase : std::uint8_t { connecting, sending, receiving, over };

  explicit State(const Request& of) : request(of), payload(of.payload.empty() ? std::string(kGreeting) : of.payload) {}

  Request request;
  std::string payload;
  netns::UniqueFd socket;
  Phase phase = connecting;
  std::optional<Outcome> outcome;
  std::optional<SocketAddress> local;
  std::string answer;
  std::uint16_t id = 0;  // of an ICMP request

  bool is_v6() const { return request.to.family() == Family::v6; }
  bool is_tcp() const { return request.protocol == RequestProtocol::tcp; }
  bool is_icmp() const { return request.protocol == RequestProtocol::icmp; }

  // ---- the beginning

  int open_socket() const {
    const int family = is_v6() ? AF_INET6 : AF_INET;
    constexpr int kFlags = SOCK_CLOEXEC | SOCK_NONBLOCK;
    if (request.tcp_flags) return ::socket(family, SOCK_RAW | kFlags, IPPROTO_RAW);
    switch (request.protocol) {
      case RequestProtocol::tcp: return ::socket(family, SOCK_STREAM | kFlags, 0);
      case RequestProtocol::udp: return ::socket(family, SOCK_DGRAM | kFlags, 0);
      case RequestProtocol::icmp: break;
    }
    return ::socket(family, SOCK_RAW | kFlags,
                    is_v6() ? static_cast<int>(IPPROTO_ICMPV6) : static_cast<int>(IPPROTO_ICMP));
  }

  // In the namespace, in a thread of its own: so the user id is that thread's (a socket belongs to whoever opened it). What follows
  // needs privilege again.
  void open() {
    if (request.uid) become(*request.uid);
    socket = netns::UniqueFd(open_socket());
    const int error = errno;
    if (request.uid) become(0);
    if (socket.get() < 0) throw system_failure("cannot open a socket", error);
  }

  static void become(std::uint32_t uid) {
    if (::syscall(SYS_setresuid, -1, uid, -1) == 0) return;
    throw system_failure(fmt::format("cannot become user {}", uid), errno);
  }

  void set_up() {
    const int on = 1;
    ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (!is_tcp()) {
      ::setsockopt(socket.get(), is_v6() ? SOL_IPV6 : SOL_IP, is_v6() ? IPV6_RECVERR : IP_RECVERR, &on, sizeof on);
    }
    if (request.mark != 0 && ::setsockopt(socket.get(), SOL_SOCKET, SO_MARK, &request.mark, sizeof request.mark) != 0) {
      throw system_failure("cannot mark a socket", errno);
    }
    if (request.source || request.source_port != 0) bind_source();
  }

  void bind_source() {
    const IpAddress address = request.source.value_or(IpAddress::any(request.to.family()));
    RawAddress raw = to_raw(address, is_icmp() || request.tcp_flags ? std::uint16_t{0} : request.source_port);
    if (::bind(socket.get(), raw.raw(), raw.size) != 0) {
      throw system_failure(fmt::format("cannot send from '{}'", SocketAddress{address, request.source_port}.str()),
                           errno);
    }
  }

  void begin() {
    RawAddress target = to_raw(request.to, is_icmp() || request.tcp_flags ? std::uint16_t{0} : request.to_port);
    const int done = ::connect(socket.get(), target.raw(), target.size);
    if (done != 0 && errno != EINPROGRESS) {
      fail(errno);
      return;
    }
    learn_local();
    if (request.tcp_flags) {
      send_single_packet();
    } else if (is_tcp()) {
      phase = connecting;
    } else {
      send_datagram();
    }
  }

  void learn_local() {
    RawAddress own;
    if (::getsockname(socket.get(), own.raw(), &own.size) != 0) return;
    local = from_raw(own);
    if (is_icmp()) local->port = 0;
    if (request.tcp_flags) local->port = request.source_port;
  }

  void send_single_packet() {
    phase = over;  // the answer, if any, is nobody's
    const std::string packet = tcp_packet(*local, request);
    if (::send(socket.get(), packet.data(), packet.size(), MSG_NOSIGNAL) < 0) fail(errno);
  }

  void send_datagram() {
    id = static_cast<std::uint16_t>(::syscall(SYS_gettid) & 0xffff);
    const std::string bytes = is_icmp() ? icmp_request(request, id, payload) : payload;
    phase = receiving;
    if (::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) < 0) fail(errno);
  }

  // ---- the rest

  void fail(int error) {
    phase = over;
    outcome = Outcome{Outcome::error, error};
  }

  void reach() {
    phase = over;
    outcome = Outcome{Outcome::reached};
  }

  bool step() {
    switch (phase) {
      case connecting: return finish_connecting();
      case sending: return send_greeting();
      case receiving: return is_tcp() ? receive_line() : receive_datagram();
      case over: break;
    }
    return false;
  }

  bool finish_connecting() {
    pollfd entry{socket.get(), POLLOUT, 0};
    if (::poll(&entry, 1, 0) <= 0) return false;
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) {
      fail(error);
    } else {
      phase = sending;
    }
    return true;
  }

  bool send_greeting() {
    if (::send(socket.get(), payload.data(), payload.size(), MSG_NOSIGNAL) < 0) {
      if (errno == EAGAIN) return false;
      fail(errno);
      return true;
    }
    phase = receiving;
    return true;
  }

  // Whether something happened; `take` is given what came, if that is not an error.
  template <class Take>
  bool receive(Take take) {
    std::array<char, 4096> buffer{};
    const ssize_t got = ::recv(socket.get(), buffer.data(), buffer.size(), 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    if (got < 0) {
      fail(errno);
    } else {
      take(std::string_view(buffer.data(), static_cast<std::size_t>(got)));
    }
    return true;
  }

  // An answer is one line, or what came before the other side closed.
  bool receive_line() {
    return receive([this](std::string_view bytes) {
      answer += bytes;
      if (bytes.empty() || answer.find('\n') != std::string::npos) reach();
    });
  }

  bool receive_datagram() {
    return receive([this](std::string_view bytes) {
      if (is_icmp() && !is_own_reply(bytes)) return;
      if (!is_icmp()) answer = bytes;
      reach();
    });
  }

  // A raw socket hears every ICMP message of its peer; that of IPv4 comes with its IP header.
  bool is_own_reply(std::string_view bytes) const {
    if (!is_v6()) {
      if (bytes.size() < 20) return false;
      bytes.remove_prefix(std::min(bytes.size(), std::size_t{static_cast<std::uint8_t>(bytes[0])} % 16 * 4));
    }
    if (bytes.size() < 8) return false;
    const auto type = static_cast<std::uint8_t>(bytes[0]);
    const auto wanted = is_v6()             ? static_cast<std::uint8_t>(ICMP6_ECHO_REPLY)
                        : request.timestamp ? std::uint8_t{ICMP_TIMESTAMPREPLY}
                                            : std::uint8_t{ICMP_ECHOREPLY};
    const auto its_id =
        static_cast<std::uint16_t>(static_cast<std::uint8_t>(bytes[4]) << 8 | static_cast<std::uint8_t>(bytes[5]));
    return type == wanted && its_id == id;
  }
};

Exchange::Exchange(const netns::Namespace& from, const Request& request) : state_(std::make_unique<State>(request)) {
  netns::run_in(from, [&] {
    state_->open();
    state_->set_up();
  });
  state_->begin();
}

Exchange::~Exchange() {
  if (!state_ || state_->socket.get() < 0 || !state_->is_tcp() || state_->request.tcp_flags) return;
  if (state_->outcome && state_->outcome->kind == Outcome::reached) return;
  // An orderly end would be sent again and again through rules that drop it, and meet a later request.
  const linger now{1, 0};
  ::setsockopt(state_->socket.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

Exchange::Exchange(Exchange&&) noexcept = default;

bool Exchange::step() { return state_->step(); }
int Exchange::descriptor() const { return state_->request.tcp_flags ? -1 : state_->socket.get(); }
short Exchange::awaited_events() const {
  return state_->phase == State::connecting || state_->phase == State::sending ? POLLOUT : POLLIN;
}
std::optional<Outcome> Exchange::outcome() const { return state_->outcome; }
const std::string& Exchange::answer() const { return state_->answer; }
std::optional<SocketAddress> Exchange::local() const { return state_->local; }
const std::string& Exchange::payload() const { return state_->payload; }

}  // namespace mb::lab
