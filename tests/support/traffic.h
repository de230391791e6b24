// SPDX-License-Identifier: GPL-2.0-or-later
//
// Clients and servers for tests: who can talk to whom, and as whom is he seen?
//
// Sockets are opened inside the namespace and then used from where the test runs. Deadlines are
// generous: they end a test that fails, they prove nothing. That a packet was *dropped* is proved
// by a Capture and a barrier packet (capture.h).
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "netns/netns.h"

namespace mb::test {

struct TalkOptions {
  std::string from_address{};   ///< empty: the kernel chooses
  std::uint16_t from_port = 0;  ///< 0: the kernel chooses
  std::chrono::milliseconds deadline{5000};
  std::string message = "hello\n";
};

struct Outcome {
  enum Kind {
    kReached,      ///< an answer came; it is in `reply`
    kRefused,      ///< ECONNREFUSED or ECONNRESET: somebody said no
    kUnreachable,  ///< no route, administratively prohibited…; see `error`
    kTimedOut,     ///< nothing came
  };
  Kind kind = kTimedOut;
  int error = 0;        ///< errno of a refused or unreachable one
  std::string reply{};  ///< without its newline
  std::string local{};  ///< our own end, "198.51.100.9:43210"

  [[nodiscard]] bool reached() const { return kind == kReached; }
};

/// For the message of a failing test: "reached: source=…", "refused: Connection refused".
std::ostream& operator<<(std::ostream& stream, const Outcome& outcome);

/// Connects, sends the message, reads one line. Addresses of both families, without brackets; a link-local one with the
/// interface of the sender, "fe80::1%up0".
Outcome tcp_talk(const netns::Namespace& from, const std::string& address, std::uint16_t port,
                 const TalkOptions& options = {});

/// Sends the message, waits for one datagram from that same address and port.
Outcome udp_talk(const netns::Namespace& from, const std::string& address, std::uint16_t port,
                 const TalkOptions& options = {});

/// An echo request with the message in it and `from_port` as its identifier; waits for the answer, whose `reply` stays
/// empty.
Outcome ping(const netns::Namespace& from, const std::string& address, const TalkOptions& options = {});

/// A TCP connection that stays: every line said in it is answered.
class Conversation {
 public:
  /// Throws when nobody answers.
  Conversation(const netns::Namespace& from, const std::string& address, std::uint16_t port);

  /// Says a line and waits for the answer.
  Outcome say();

 private:
  netns::UniqueFd fd_;
};

/// Datagrams in dense bursts, some ten thousand a second, from a thread of its own, until it goes. The text of each is
/// "flood".
class Flood {
 public:
  Flood(const netns::Namespace& from, const std::string& address, std::uint16_t port);
  ~Flood();
  Flood(const Flood&) = delete;
  Flood& operator=(const Flood&) = delete;

  /// How many have been handed to the kernel so far.
  [[nodiscard]] std::uint64_t sent() const { return sent_; }
  /// Returns when `more` further ones have been sent.
  void wait_for(std::uint64_t more) const;

 private:
  netns::UniqueFd fd_;
  std::atomic<std::uint64_t> sent_ = 0;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

/// Answers every line (or datagram) with "source=198.51.100.9:43210" (IPv6: "source=[2001:db8::9]:1")
/// until it goes. It serves from an ordinary thread; only the socket lives in the namespace.
class Server {
 public:
  Server(Server&&) noexcept;
  Server& operator=(Server&&) = delete;
  ~Server();

  [[nodiscard]] std::uint16_t port() const;
  /// Who connected (or sent a datagram) so far, in order: "198.51.100.9:43210".
  [[nodiscard]] std::vector<std::string> seen() const;

 protected:
  Server(const netns::Namespace& where, int type, const std::string& address, std::uint16_t port);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

class TcpServer : public Server {
 public:
  /// Port 0: a free one. Address "0.0.0.0" or "::" for all.
  TcpServer(const netns::Namespace& where, const std::string& address, std::uint16_t port);
};

class UdpServer : public Server {
 public:
  /// Give the one address that clients use: from a wildcard the answer may leave with another.
  UdpServer(const netns::Namespace& where, const std::string& address, std::uint16_t port);
};

}  // namespace mb::test
