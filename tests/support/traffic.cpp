// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/support/traffic.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <mutex>
#include <ostream>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "tests/support/frames.h"

namespace mb::test {
namespace {

using Clock = std::chrono::steady_clock;

[[noreturn]] void fail(const std::string& what) { throw std::system_error(errno, std::generic_category(), what); }

// An address of either family, as the socket calls want it.
struct Address {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;

  sockaddr* raw() { return reinterpret_cast<sockaddr*>(&storage); }
  [[nodiscard]] const sockaddr* raw() const { return reinterpret_cast<const sockaddr*>(&storage); }
  [[nodiscard]] int family() const { return storage.ss_family; }
};

Address parse_address(const std::string& text, std::uint16_t port) {
  Address address;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&address.storage);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
  if (::inet_pton(AF_INET, text.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    address.size = sizeof *v4;
  } else if (::inet_pton(AF_INET6, text.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    address.size = sizeof *v6;
  } else {
    throw std::invalid_argument("'" + text + "' is not an address");
  }
  return address;
}

std::string print_address(const Address& address) {
  char text[INET6_ADDRSTRLEN] = "";
  if (address.family() == AF_INET6) {
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&address.storage);
    ::inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text);
    return "[" + std::string(text) + "]:" + std::to_string(ntohs(v6->sin6_port));
  }
  const auto* v4 = reinterpret_cast<const sockaddr_in*>(&address.storage);
  ::inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text);
  return std::string(text) + ":" + std::to_string(ntohs(v4->sin_port));
}

Address local_address(int fd) {
  Address local;
  if (::getsockname(fd, local.raw(), &local.size) != 0) fail("cannot ask for an own address");
  return local;
}

netns::UniqueFd open_socket(const netns::Namespace& where, int family, int type) {
  netns::UniqueFd fd(netns::run_in(where, [&] { return ::socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0); }));
  if (!fd) fail("cannot open a socket");
  // A test may use a source port twice; the kernel remembers closed connections for a minute.
  const int yes = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  return fd;
}

void bind_to(int fd, const std::string& address, std::uint16_t port) {
  const Address local = parse_address(address, port);
  if (::bind(fd, local.raw(), local.size) != 0) {
    fail("cannot bind to '" + address + "' port " + std::to_string(port));
  }
}

// ------------------------------------------------------------------ clients

Outcome failed(int error, Outcome outcome) {
  const bool said_no = error == ECONNREFUSED || error == ECONNRESET || error == EPIPE;
  outcome.kind = said_no ? Outcome::kRefused : Outcome::kUnreachable;
  outcome.error = error;
  return outcome;
}

bool wait_until(Clock::time_point deadline, int fd, short events) {
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    pollfd entry{fd, events, 0};
    const int ready = ::poll(&entry, 1, static_cast<int>(left > 0 ? left : 0));
    if (ready > 0) return true;
    if (ready == 0) return false;
    if (errno != EINTR) fail("cannot poll");
  }
}

int pending_error(int fd) {
  int error = 0;
  socklen_t size = sizeof error;
  if (::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) fail("cannot ask a socket");
  return error;
}

// TCP: one line, which may come in pieces. UDP: one datagram.
Outcome read_reply(int fd, Clock::time_point deadline, Outcome outcome) {
  char buffer[2048];
  while (wait_until(deadline, fd, POLLIN)) {
    const ssize_t got = ::recv(fd, buffer, sizeof buffer, 0);
    if (got < 0 && errno == EAGAIN) continue;
    if (got < 0) return failed(errno, outcome);
    if (got == 0) return failed(ECONNRESET, outcome);
    outcome.reply.append(buffer, static_cast<std::size_t>(got));
    if (outcome.reply.back() == '\n') {
      outcome.reply.pop_back();
      outcome.kind = Outcome::kReached;
      return outcome;
    }
  }
  return outcome;
}

// An address that may name an interface of its namespace: "fe80::1%up0".
Address parse_peer(const netns::Namespace& from, const std::string& text, std::uint16_t port) {
  const auto percent = text.find('%');
  Address peer = parse_address(text.substr(0, percent), port);
  if (percent == std::string::npos) return peer;
  const std::string interface = text.substr(percent + 1);
  reinterpret_cast<sockaddr_in6*>(&peer.storage)->sin6_scope_id =
      netns::run_in(from, [&] { return ::if_nametoindex(interface.c_str()); });
  return peer;
}

netns::UniqueFd connect_to(const netns::Namespace& from, int type, const std::string& address, std::uint16_t port) {
  const Address peer = parse_peer(from, address, port);
  netns::UniqueFd fd = open_socket(from, peer.family(), type);
  if (::connect(fd.get(), peer.raw(), peer.size) != 0 && errno != EINPROGRESS) fail("cannot connect to " + address);
  return fd;
}

Outcome talk(int type, const netns::Namespace& from, const std::string& address, std::uint16_t port,
             const TalkOptions& options) {
  const auto deadline = Clock::now() + options.deadline;
  const Address peer = parse_peer(from, address, port);
  const netns::UniqueFd fd = open_socket(from, peer.family(), type);
  if (!options.from_address.empty() || options.from_port != 0) {
    const std::string any = peer.family() == AF_INET6 ? "::" : "0.0.0.0";
    bind_to(fd.get(), options.from_address.empty() ? any : options.from_address, options.from_port);
  }
  Outcome outcome;
  if (::connect(fd.get(), peer.raw(), peer.size) != 0 && errno != EINPROGRESS) {
    return failed(errno, outcome);
  }
  outcome.local = print_address(local_address(fd.get()));
  if (!wait_until(deadline, fd.get(), POLLOUT)) return outcome;
  if (const int error = pending_error(fd.get())) return failed(error, outcome);
  const std::string& text = options.message;
  if (::send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL) < 0) return failed(errno, outcome);
  return read_reply(fd.get(), deadline, outcome);
}

}  // namespace

std::ostream& operator<<(std::ostream& stream, const Outcome& outcome) {
  switch (outcome.kind) {
    case Outcome::kReached: return stream << "reached: " << outcome.reply;
    case Outcome::kRefused: return stream << "refused: " << std::strerror(outcome.error);
    case Outcome::kUnreachable: return stream << "unreachable: " << std::strerror(outcome.error);
    case Outcome::kTimedOut: break;
  }
  return stream << "timed out";
}

Outcome tcp_talk(const netns::Namespace& from, const std::string& address, std::uint16_t port,
                 const TalkOptions& options) {
  return talk(SOCK_STREAM, from, address, port, options);
}

Outcome udp_talk(const netns::Namespace& from, const std::string& address, std::uint16_t port,
                 const TalkOptions& options) {
  return talk(SOCK_DGRAM, from, address, port, options);
}

// ------------------------------------------------------------------ a connection that stays, and a flood

Conversation::Conversation(const netns::Namespace& from, const std::string& address, std::uint16_t port)
    : fd_(connect_to(from, SOCK_STREAM, address, port)) {
  if (!wait_until(Clock::now() + TalkOptions{}.deadline, fd_.get(), POLLOUT) || pending_error(fd_.get()) != 0) {
    throw std::runtime_error("no connection to " + address);
  }
}

Outcome Conversation::say() {
  const TalkOptions usual;
  if (::send(fd_.get(), usual.message.data(), usual.message.size(), MSG_NOSIGNAL) < 0) return failed(errno, {});
  return read_reply(fd_.get(), Clock::now() + usual.deadline, {});
}

Flood::Flood(const netns::Namespace& from, const std::string& address, std::uint16_t port)
    : fd_(connect_to(from, SOCK_DGRAM, address, port)), thread_([this] {
        constexpr std::uint64_t kBurst = 20;
        for (std::uint64_t tries = 1; !stop_; ++tries) {
          // A link that is down, a full queue, a refusal: it goes on.
          if (::send(fd_.get(), "flood", 5, MSG_NOSIGNAL) >= 0) ++sent_;
          // Two processors are to do other things besides.
          if (tries % kBurst == 0) std::this_thread::sleep_for(std::chrono::microseconds(200));
        }
      }) {}

Flood::~Flood() {
  stop_ = true;
  thread_.join();
}

void Flood::wait_for(std::uint64_t more) const {
  const auto end = Clock::now() + std::chrono::seconds(20);
  const auto until = sent_ + more;
  while (sent_ < until) {
    if (Clock::now() > end) throw std::runtime_error("the flood does not flow");
    std::this_thread::yield();
  }
}

// ------------------------------------------------------------------ ping

namespace {

// The eight bytes before the text of an echo message. The kernel sums up ICMPv6 by itself.
std::string echo_request(bool v6, std::uint16_t identifier, const std::string& text) {
  std::string message(8, '\0');
  message[0] = static_cast<char>(v6 ? 128 : 8);
  message[4] = static_cast<char>(identifier >> 8);
  message[5] = static_cast<char>(identifier & 0xff);
  message += text;
  if (v6) return message;
  const std::uint16_t sum = internet_checksum(message);
  message[2] = static_cast<char>(sum >> 8);
  message[3] = static_cast<char>(sum & 0xff);
  return message;
}

// A raw socket hears every ICMP message of its peer; the answer repeats identifier and text. IPv4 comes with its header.
bool answers(const std::string& request, const std::string& got, bool v6) {
  const std::size_t header = v6 ? 0 : 20;
  if (got.size() != header + request.size()) return false;
  const bool reply = got[header] == static_cast<char>(v6 ? 129 : 0);
  return reply && got.substr(header + 4) == request.substr(4);
}

}  // namespace

Outcome ping(const netns::Namespace& from, const std::string& address, const TalkOptions& options) {
  const auto deadline = Clock::now() + options.deadline;
  const Address peer = parse_peer(from, address, 0);
  const bool v6 = peer.family() == AF_INET6;
  const int protocol = v6 ? int{IPPROTO_ICMPV6} : int{IPPROTO_ICMP};
  const netns::UniqueFd fd(
      netns::run_in(from, [&] { return ::socket(peer.family(), SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol); }));
  if (!fd) fail("cannot open a raw socket");
  Outcome outcome;
  if (::connect(fd.get(), peer.raw(), peer.size) != 0) return failed(errno, outcome);
  const std::string request = echo_request(v6, options.from_port, options.message);
  if (::send(fd.get(), request.data(), request.size(), 0) < 0) return failed(errno, outcome);
  while (wait_until(deadline, fd.get(), POLLIN)) {
    std::string got(2048, '\0');
    const ssize_t size = ::recv(fd.get(), got.data(), got.size(), 0);
    if (size < 0 && errno == EAGAIN) continue;
    if (size < 0) return failed(errno, outcome);
    got.resize(static_cast<std::size_t>(size));
    if (!answers(request, got, v6)) continue;
    outcome.kind = Outcome::kReached;
    return outcome;
  }
  return outcome;
}

// ------------------------------------------------------------------ servers

// What the serving thread and the test share. The thread ends when `stop` becomes readable.
struct Server::State {
  struct Connection {
    netns::UniqueFd fd;
    std::string peer;
  };

  netns::UniqueFd listener;
  netns::UniqueFd stop;
  mutable std::mutex mutex;
  std::vector<std::string> seen;
  std::vector<Connection> connections;
  std::thread thread;

  ~State() {
    if (!thread.joinable()) return;
    ::eventfd_write(stop.get(), 1);
    thread.join();
  }

  void remember(const std::string& peer) {
    const std::lock_guard lock(mutex);
    seen.push_back(peer);
  }

  void accept_all() {
    while (true) {
      Address peer;
      netns::UniqueFd fd(::accept4(listener.get(), peer.raw(), &peer.size, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (!fd) return;
      remember(print_address(peer));
      connections.push_back({std::move(fd), print_address(peer)});
    }
  }

  void answer_datagrams() {
    char buffer[2048];
    while (true) {
      Address peer;
      if (::recvfrom(listener.get(), buffer, sizeof buffer, 0, peer.raw(), &peer.size) < 0) {
        if (errno == EAGAIN) return;
        continue;  // an ICMP error of an earlier answer
      }
      remember(print_address(peer));
      const std::string line = "source=" + print_address(peer) + "\n";
      // A client that is gone is no failure of the server's.
      ::sendto(listener.get(), line.data(), line.size(), MSG_NOSIGNAL, peer.raw(), peer.size);
    }
  }

  // Returns false when the connection is over.
  static bool answer(const Connection& connection) {
    char buffer[2048];
    const ssize_t got = ::recv(connection.fd.get(), buffer, sizeof buffer, 0);
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    if (got == 0) return false;
    const std::string line = "source=" + connection.peer + "\n";
    return ::send(connection.fd.get(), line.data(), line.size(), MSG_NOSIGNAL) > 0;
  }

  void answer_ready(const std::vector<pollfd>& entries) {
    // From the back, because a connection that is over leaves the vector.
    for (std::size_t i = entries.size(); i-- > 2;) {
      if (entries[i].revents == 0 || answer(connections[i - 2])) continue;
      connections.erase(connections.begin() + static_cast<std::ptrdiff_t>(i - 2));
    }
  }

  void serve(int type) {
    while (true) {
      std::vector<pollfd> entries{{stop.get(), POLLIN, 0}, {listener.get(), POLLIN, 0}};
      for (const auto& c : connections) entries.push_back({c.fd.get(), POLLIN, 0});
      if (::poll(entries.data(), entries.size(), -1) < 0) continue;
      if (entries[0].revents != 0) return;
      answer_ready(entries);
      if (entries[1].revents == 0) continue;
      if (type == SOCK_STREAM) {
        accept_all();
      } else {
        answer_datagrams();
      }
    }
  }
};

Server::Server(const netns::Namespace& where, int type, const std::string& address, std::uint16_t port)
    : state_(std::make_unique<State>()) {
  state_->listener = open_socket(where, parse_address(address, port).family(), type);
  bind_to(state_->listener.get(), address, port);
  if (type == SOCK_STREAM && ::listen(state_->listener.get(), SOMAXCONN) != 0) {
    fail("cannot listen");
  }
  state_->stop.reset(::eventfd(0, EFD_CLOEXEC));
  if (!state_->stop) fail("cannot create an eventfd");
  state_->thread = std::thread([state = state_.get(), type] { state->serve(type); });
}

Server::Server(Server&&) noexcept = default;
Server::~Server() = default;

std::uint16_t Server::port() const {
  const Address local = local_address(state_->listener.get());
  // The port is at the same place in both families.
  return ntohs(reinterpret_cast<const sockaddr_in*>(&local.storage)->sin_port);
}

std::vector<std::string> Server::seen() const {
  const std::lock_guard lock(state_->mutex);
  return state_->seen;
}

TcpServer::TcpServer(const netns::Namespace& where, const std::string& address, std::uint16_t port)
    : Server(where, SOCK_STREAM, address, port) {}

UdpServer::UdpServer(const netns::Namespace& where, const std::string& address, std::uint16_t port)
    : Server(where, SOCK_DGRAM, address, port) {}

}  // namespace mb::test
