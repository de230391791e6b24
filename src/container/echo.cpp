// SPDX-License-Identifier: GPL-2.0-or-later
//
// How it works. Everything that epoll can report has a number: 0 is the signal descriptor, 1..n the listening sockets,
// above that connections, which are counted upwards and never get a number twice, so a late event cannot meet a
// newcomer. As all have the same time to live, the lowest number is also the oldest connection.
//
// A connection is first *heard* (until it is clear what the client speaks) and then, answered and half-closed, only
// *emptied*: closing a socket with unread data makes the kernel send a reset, which destroys the answer on its way.
#include "src/container/echo.h"

#include <netinet/in.h>

// Behind the C library's addresses, or they are defined twice.
#include <linux/netfilter_ipv4.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <iterator>
#include <map>

#include <fmt/format.h>

#include "netns/unique_fd.h"
#include "src/base/error.h"
#include "src/container/echo_format.h"
#include "src/container/raw_address.h"
#include "src/container/signals.h"

namespace mb::container {
namespace {

using Clock = std::chrono::steady_clock;
using netns::UniqueFd;
using namespace std::chrono_literals;

// linux/netfilter_ipv6/ip6_tables.h has it, but does not compile as C++.
constexpr int kOriginalDestinationV6 = 80;

// `nc` says nothing; a client that speaks HTTP begins at once, but its machine may be busy.
constexpr auto kSilence = 200ms;
// A client that has begun to say something that could still be HTTP.
constexpr auto kHesitation = 1s;
constexpr auto kLifetime = 5s;
constexpr auto kEmptying = 1s;
constexpr std::size_t kLongestHead = 8192;
constexpr std::size_t kMostIgnoredBytes = 1 << 20;
constexpr std::size_t kMostConnections = 512;
constexpr rlim_t kOtherFiles = 32;  // standard streams, epoll, what the caller has open
constexpr int kDatagramsPerTurn = 64;

// ------------------------------------------------------------------ addresses

OriginalDestination original_destination(int fd, Family family) {
  RawAddress raw;
  const bool v6 = family == Family::v6;
  if (::getsockopt(fd, v6 ? SOL_IPV6 : SOL_IP, v6 ? kOriginalDestinationV6 : SO_ORIGINAL_DST, raw.raw(), &raw.size) !=
      0) {
    return errno;
  }
  return from_raw(raw);
}

// ------------------------------------------------------------------ opening

std::string name_of(const EchoListen& what) {
  return fmt::format("{}/{}", SocketAddress{what.address, what.port}.str(), to_string(what.protocol));
}

[[noreturn]] void fail_to_listen(const EchoListen& what, int error) {
  const std::string tried = fmt::format("cannot listen on '{}'", name_of(what));
  switch (error) {
    case EADDRINUSE:
      throw Error(ErrorKind::conflict, tried + ": another socket has this port (EADDRINUSE)",
                  "choose another port, or see who has it with 'ss -lntup'", error);
    case EADDRNOTAVAIL:
      throw Error(ErrorKind::failed, tried + ": this host does not have the address (EADDRNOTAVAIL)",
                  "'ip address' shows the addresses there are", error);
    case EPROTONOSUPPORT:
    case ESOCKTNOSUPPORT:
    case EAFNOSUPPORT:
      throw Error(ErrorKind::failed,
                  fmt::format("{}: this kernel does not have the protocol ({})", tried, errno_name(error)),
                  what.protocol == Protocol::sctp ? "load it with 'modprobe sctp'" : "", error);
    default: throw system_failure(tried, error);
  }
}

bool has_ipv4_twin(const EchoListen& what, const std::vector<EchoListen>& all) {
  return std::any_of(all.begin(), all.end(), [&](const EchoListen& other) {
    return other.address.family() == Family::v4 && other.port == what.port && other.protocol == what.protocol;
  });
}

bool switch_on(int fd, int level, int option, int value = 1) {
  return ::setsockopt(fd, level, option, &value, sizeof value) == 0;
}

// Options that decide which packets the socket gets and what it learns about them.
bool prepare(int fd, const EchoListen& what, const std::vector<EchoListen>& all) {
  const bool v6 = what.address.family() == Family::v6;
  if (v6 && !switch_on(fd, SOL_IPV6, IPV6_V6ONLY, has_ipv4_twin(what, all) ? 1 : 0)) return false;
  if (what.protocol != Protocol::udp) return switch_on(fd, SOL_SOCKET, SO_REUSEADDR);
  return switch_on(fd, v6 ? SOL_IPV6 : SOL_IP, v6 ? IPV6_RECVPKTINFO : IP_PKTINFO);
}

UniqueFd open_listener(const EchoListen& what, const std::vector<EchoListen>& all) {
  const int type = what.protocol == Protocol::udp ? SOCK_DGRAM : SOCK_STREAM;
  UniqueFd fd(::socket(what.address.family() == Family::v6 ? AF_INET6 : AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC,
                       static_cast<int>(what.protocol)));
  RawAddress raw = to_raw(what.address, what.port);
  if (!fd || !prepare(fd.get(), what, all) || ::bind(fd.get(), raw.raw(), raw.size) != 0) fail_to_listen(what, errno);
  if (type == SOCK_STREAM && ::listen(fd.get(), SOMAXCONN) != 0) fail_to_listen(what, errno);
  return fd;
}

// Makes room for the listeners and as many connections as possible; returns how many that is.
std::size_t make_room(std::size_t listeners) {
  const rlim_t needed = listeners + kOtherFiles;
  const rlim_t wanted = needed + kMostConnections;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) throw system_failure("cannot ask for the limit of open files", errno);
  if (limit.rlim_cur < wanted && limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    // The hard limit is always allowed; if not, the check below still finds the truth.
    if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) ::getrlimit(RLIMIT_NOFILE, &limit);
  }
  if (limit.rlim_cur <= needed) {
    throw Error(
        ErrorKind::failed,
        fmt::format("cannot listen on {} ports: this process may open {} files only", listeners, limit.rlim_cur),
        "raise the limit with 'ulimit -Hn', or listen on fewer ports");
  }
  return std::min<std::size_t>(kMostConnections, limit.rlim_cur - needed);
}

sigset_t stop_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  return signals;
}

// ------------------------------------------------------------------ datagrams

// The destination of a datagram, which a socket bound to every address learns from a control message only.
struct Arrival {
  RawAddress from;
  IpAddress to;
  std::string_view text;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(in6_pktinfo))> reply_control{};
  std::size_t reply_control_size = 0;
};

template <class Info>
void put_reply_source(Arrival& arrival, int level, int type, const Info& info) {
  msghdr message{};
  message.msg_control = arrival.reply_control.data();
  message.msg_controllen = arrival.reply_control_size = CMSG_SPACE(sizeof info);
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = level;
  header->cmsg_type = type;
  header->cmsg_len = CMSG_LEN(sizeof info);
  std::memcpy(CMSG_DATA(header), &info, sizeof info);
}

void read_destination(const cmsghdr& header, Arrival& arrival) {
  if (header.cmsg_level == SOL_IP && header.cmsg_type == IP_PKTINFO) {
    in_pktinfo info{};
    std::memcpy(&info, CMSG_DATA(&header), sizeof info);
    arrival.to = from_raw(info.ipi_addr);
    // ipi_spec_dst stays: the address of ours to answer from, also after a broadcast. The way back is the routing
    // table's business.
    info.ipi_ifindex = 0;
    put_reply_source(arrival, SOL_IP, IP_PKTINFO, info);
  } else if (header.cmsg_level == SOL_IPV6 && header.cmsg_type == IPV6_PKTINFO) {
    in6_pktinfo info{};
    std::memcpy(&info, CMSG_DATA(&header), sizeof info);
    arrival.to = from_raw(info.ipi6_addr);
    if (IN6_IS_ADDR_MULTICAST(&info.ipi6_addr)) return;  // nobody can answer from it
    if (!IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr)) info.ipi6_ifindex = 0;
    put_reply_source(arrival, SOL_IPV6, IPV6_PKTINFO, info);
  }
}

// Returns false when no datagram is waiting.
bool answer_datagram(int fd, const EchoListen& listener) {
  Arrival arrival{{}, listener.address, {}, {}, 0};
  std::array<char, 64> begin{};  // enough to recognise an answer of ours
  alignas(cmsghdr) std::array<char, 256> control{};
  iovec data{begin.data(), begin.size()};
  msghdr message{};
  message.msg_name = arrival.from.raw();
  message.msg_namelen = arrival.from.size;
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t got = ::recvmsg(fd, &message, 0);
  if (got < 0) return errno != EAGAIN;  // another error belongs to an earlier answer (ICMP)
  arrival.from.size = message.msg_namelen;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    read_destination(*header, arrival);
  }
  if (is_answer({begin.data(), static_cast<std::size_t>(got)})) return true;

  const SocketAddress source = from_raw(arrival.from);
  std::string line = as_line({source, {arrival.to, listener.port}, original_destination(fd, source.address.family())});
  data = {line.data(), line.size()};
  message.msg_control = arrival.reply_control_size > 0 ? arrival.reply_control.data() : nullptr;
  message.msg_controllen = arrival.reply_control_size;
  message.msg_flags = 0;
  // Lost answers are part of UDP: the client asks again.
  static_cast<void>(::sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT));
  return true;
}

// ------------------------------------------------------------------ connections

struct Connection {
  UniqueFd fd;
  Sighting seen;
  std::string heard;
  std::size_t ignored_bytes = 0;
  bool answered = false;
  Clock::time_point patience_ends;  // what then happens depends on `answered`
  Clock::time_point life_ends;

  Clock::time_point next_deadline() const { return std::min(patience_ends, life_ends); }
};

enum class After : std::uint8_t { keep, drop };

// Sends the answer and our end of the stream. An answer is far smaller than any send buffer, so it goes in one piece
// or the client is not worth waiting for.
After answer(Connection& client, const std::string& text) {
  const ssize_t sent = ::send(client.fd.get(), text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent != static_cast<ssize_t>(text.size()) || ::shutdown(client.fd.get(), SHUT_WR) != 0) return After::drop;
  client.answered = true;
  client.patience_ends = Clock::now() + kEmptying;
  return After::keep;
}

// Decides on what was heard so far.
After consider(Connection& client, bool end_of_input) {
  const Speech speech = recognise(client.heard);
  const bool full = client.heard.size() >= kLongestHead;
  if (speech == Speech::http) {
    if (has_whole_head(client.heard) || end_of_input || full) {
      return answer(client, http_response(client.heard, client.seen));
    }
    client.patience_ends = client.life_ends;
    return After::keep;
  }
  if (speech == Speech::other || end_of_input || full) return answer(client, as_line(client.seen));
  client.patience_ends = Clock::now() + kHesitation;
  return After::keep;
}

After listen_to(Connection& client) {
  std::array<char, 4096> buffer;
  const ssize_t got = ::recv(client.fd.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (got < 0) return errno == EAGAIN || errno == EINTR ? After::keep : After::drop;
  if (client.answered) {
    client.ignored_bytes += static_cast<std::size_t>(got);
    return got == 0 || client.ignored_bytes > kMostIgnoredBytes ? After::drop : After::keep;
  }
  client.heard.append(buffer.data(), static_cast<std::size_t>(got));
  return consider(client, got == 0);
}

After lose_patience(Connection& client, Clock::time_point now) {
  if (client.answered || now >= client.life_ends) return After::drop;
  return answer(client, as_line(client.seen));
}

// ------------------------------------------------------------------ the loop

class EchoServer {
 public:
  explicit EchoServer(std::vector<EchoListen> listen) : listen_(std::move(listen)), room_(make_room(listen_.size())) {
    if (!epoll_) throw system_failure("cannot create an epoll descriptor", errno);
    watch(signals_.fd(), kSignalNumber);
    for (const EchoListen& what : listen_) {
      sockets_.push_back(open_listener(what, listen_));
      watch(sockets_.back().get(), sockets_.size());
    }
    next_number_ = sockets_.size() + 1;
  }

  void serve() {
    std::array<epoll_event, 64> events{};
    while (true) {
      const int ready = ::epoll_wait(epoll_.get(), events.data(), events.size(), wait_ms());
      if (ready < 0 && errno != EINTR) throw system_failure("cannot wait for clients", errno);
      for (int i = 0; i < ready; ++i) {
        const std::uint64_t number = events.at(static_cast<std::size_t>(i)).data.u64;
        if (number == kSignalNumber && signals_.next()) return;
        handle(number);
      }
      end_patience();
    }
  }

 private:
  static constexpr std::uint64_t kSignalNumber = 0;

  void watch(int fd, std::uint64_t number) const {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = number;
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) throw system_failure("cannot watch a socket", errno);
  }

  void handle(std::uint64_t number) {
    if (number == kSignalNumber) return;
    if (number > sockets_.size()) {
      const auto client = clients_.find(number);
      if (client != clients_.end() && listen_to(client->second) == After::drop) clients_.erase(client);
      return;
    }
    const int fd = sockets_[number - 1].get();
    const EchoListen& listener = listen_[number - 1];
    if (listener.protocol != Protocol::udp) return accept_client(fd);
    // Bounded, so that a flood on one port does not starve the others.
    for (int i = 0; i < kDatagramsPerTurn && answer_datagram(fd, listener); ++i) {
    }
  }

  void accept_client(int listener) {
    if (clients_.size() >= room_) clients_.erase(clients_.begin());
    RawAddress peer;
    UniqueFd fd(::accept4(listener, peer.raw(), &peer.size, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd) {
      // Out of files or memory: the oldest client makes room, the newcomer is still in the queue.
      if (errno != EAGAIN && errno != ECONNABORTED && !clients_.empty()) clients_.erase(clients_.begin());
      return;
    }
    RawAddress local;
    if (::getsockname(fd.get(), local.raw(), &local.size) != 0) return;
    const SocketAddress destination = from_raw(local);
    const OriginalDestination original = original_destination(fd.get(), destination.address.family());
    const auto now = Clock::now();
    watch(fd.get(), next_number_);
    clients_.emplace(
        next_number_++,
        Connection{
            std::move(fd), {from_raw(peer), destination, original}, {}, 0, false, now + kSilence, now + kLifetime});
  }

  void end_patience() {
    const auto now = Clock::now();
    for (auto client = clients_.begin(); client != clients_.end();) {
      const bool over = client->second.next_deadline() <= now && lose_patience(client->second, now) == After::drop;
      client = over ? clients_.erase(client) : std::next(client);
    }
  }

  // Until the next deadline; -1 when nobody is connected.
  int wait_ms() const {
    if (clients_.empty()) return -1;
    auto next = Clock::time_point::max();
    for (const auto& [number, client] : clients_) next = std::min(next, client.next_deadline());
    // Rounded up: waking too early would only find that it is too early.
    return static_cast<int>(std::max(0ms, std::chrono::ceil<std::chrono::milliseconds>(next - Clock::now())).count());
  }

  SignalReader signals_{stop_signals()};  // first, so that a signal during the start is not lost
  std::vector<EchoListen> listen_;
  std::size_t room_;
  UniqueFd epoll_{::epoll_create1(EPOLL_CLOEXEC)};
  std::vector<UniqueFd> sockets_;
  std::map<std::uint64_t, Connection> clients_;
  std::uint64_t next_number_ = 0;
};

}  // namespace

int serve_echo(const EchoOptions& options, const std::function<void()>& when_ready) {
  if (options.listen.empty())
    throw Error(ErrorKind::usage, "the test server has no address to listen on",
                "give it one, for example 0.0.0.0:8000");
  EchoServer server(options.listen);
  if (when_ready) when_ready();
  server.serve();
  return 0;
}

}  // namespace mb::container
