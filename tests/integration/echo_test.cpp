// SPDX-License-Identifier: GPL-2.0-or-later
//
// The test server on real sockets: every kind of client, and what the kernel knows about rewritten destinations.
#include "src/container/echo.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "netns/netns.h"
#include "src/base/error.h"
#include "tests/support/world.h"

namespace mb::container {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::MatchesRegex;
using testing::StartsWith;

EchoListen on(const char* address, std::uint16_t port, Protocol protocol = Protocol::tcp) {
  return {IpAddress::parse(address), port, protocol};
}

// The server in a child, as `run` without a command has it; it is ready when the constructor returns.
class RunningEcho {
 public:
  explicit RunningEcho(std::vector<EchoListen> listen, rlim_t open_files = 0) {
    std::array<int, 2> ready{};
    if (::pipe(ready.data()) != 0) throw std::runtime_error("no pipe");
    pid_ = ::fork();
    if (pid_ == 0) {
      ::close(ready[0]);
      ::_exit(serve({std::move(listen)}, ready[1], open_files));
    }
    ::close(ready[1]);
    char byte = 0;
    is_ready_ = ::read(ready[0], &byte, 1) == 1;
    ::close(ready[0]);
  }
  RunningEcho(const RunningEcho&) = delete;
  RunningEcho& operator=(const RunningEcho&) = delete;
  ~RunningEcho() {
    if (pid_ > 0) end_with(SIGKILL);
  }

  bool is_ready() const { return is_ready_; }

  // Its exit status, or -1 if the signal killed it.
  int end_with(int signal) {
    int status = 0;
    ::kill(pid_, signal);
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 private:
  static int serve(const EchoOptions& options, int ready, rlim_t open_files) {
    try {
      if (open_files > 0) {
        rlimit limit{};
        ::getrlimit(RLIMIT_NOFILE, &limit);
        limit.rlim_cur = open_files;
        ::setrlimit(RLIMIT_NOFILE, &limit);
      }
      return serve_echo(options, [&] { static_cast<void>(!::write(ready, "r", 1)); });
    } catch (const std::exception& e) {
      static_cast<void>(!::write(STDERR_FILENO, e.what(), std::strlen(e.what())));
      return 99;
    }
  }

  pid_t pid_ = -1;
  bool is_ready_ = false;
};

netns::UniqueFd connect_silently(const netns::Namespace& from, std::uint16_t port) {
  return netns::run_in(from, [&] {
    netns::UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(0xc6336401);  // 198.51.100.1
    if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&to), sizeof to) != 0)
      throw std::runtime_error("no connection");
    return fd;
  });
}

struct Echo : testing::Test {
  test::World world;

  std::string curl(const std::string& arguments) const {
    return test::must(world.outside(), "curl -sS --max-time 10 " + arguments);
  }
};

TEST_F(Echo, AnswersOtherTextWithTheLine) {
  const RunningEcho echo({on("0.0.0.0", 1234)});
  const auto outcome = test::tcp_talk(world.outside(), "198.51.100.1", 1234, {.from_port = 43210});
  ASSERT_TRUE(outcome.reached()) << outcome;
  EXPECT_THAT(outcome.reply, StartsWith("source{ip: 198.51.100.9, port: 43210}; dest{ip: 198.51.100.1, port: 1234}; "
                                        "original dest{"));
}

TEST_F(Echo, WithoutAnyRuleTheOriginalDestinationIsUnknown) {
  const RunningEcho echo({on("0.0.0.0", 1234)});
  const auto outcome = test::tcp_talk(world.outside(), "198.51.100.1", 1234);
  // 2 with conntrack in the kernel and no entry, 92 while the module is not loaded at all.
  EXPECT_THAT(outcome.reply, testing::AnyOf(EndsWith("original dest{strerror: No such file or directory, errno: 2}"),
                                            EndsWith("original dest{strerror: Protocol not available, errno: 92}")));
}

TEST_F(Echo, RedirectedClientsSeeTheOriginalDestination) {
  test::must("iptables-legacy -t nat -A PREROUTING -p tcp --dport 12345 -j REDIRECT --to-ports 1234");
  const RunningEcho echo({on("0.0.0.0", 1234)});
  const auto outcome = test::tcp_talk(world.outside(), "198.51.100.1", 12345);
  EXPECT_THAT(outcome.reply,
              EndsWith("dest{ip: 198.51.100.1, port: 1234}; original dest{ip: 198.51.100.1, port: 12345}"));
}

TEST_F(Echo, RedirectedIpv6ClientsSeeTheOriginalDestination) {
  test::must("ip address add 2001:db8::1/64 dev up0 nodad");
  test::must(world.outside(), "ip address add 2001:db8::9/64 dev up0 nodad");
  test::must("ip6tables-legacy -t nat -A PREROUTING -p tcp --dport 12345 -j REDIRECT --to-ports 1234");
  const RunningEcho echo({on("::", 1234)});
  const auto outcome = test::tcp_talk(world.outside(), "2001:db8::1", 12345);
  EXPECT_THAT(outcome.reply,
              AllOf(StartsWith("source{ip: 2001:db8::9, port: "),
                    EndsWith("dest{ip: 2001:db8::1, port: 1234}; original dest{ip: 2001:db8::1, port: 12345}")));
}

TEST_F(Echo, Ipv4ClientsOfADualStackSocketAreShownAsIpv4) {
  test::must("iptables-legacy -t nat -A PREROUTING -p tcp --dport 12345 -j REDIRECT --to-ports 1234");
  const RunningEcho echo({on("::", 1234)});
  const auto outcome = test::tcp_talk(world.outside(), "198.51.100.1", 12345, {.from_port = 43210});
  EXPECT_EQ(outcome.reply,
            "source{ip: 198.51.100.9, port: 43210}; dest{ip: 198.51.100.1, port: 1234}; "
            "original dest{ip: 198.51.100.1, port: 12345}");
}

TEST_F(Echo, ServesBothFamiliesOnOnePort) {
  const RunningEcho echo({on("::", 1234), on("0.0.0.0", 1234)});
  ASSERT_TRUE(echo.is_ready());
  EXPECT_TRUE(test::tcp_talk(world.host(), "::1", 1234).reached());
  EXPECT_TRUE(test::tcp_talk(world.host(), "127.0.0.1", 1234).reached());
}

TEST_F(Echo, SpeaksHttp) {
  const RunningEcho echo({on("0.0.0.0", 80)});
  EXPECT_THAT(curl("-i http://198.51.100.1/any/path?at=all"),
              AllOf(StartsWith("HTTP/1.1 200 OK\r\n"), HasSubstr("Content-Type: text/plain"),
                    HasSubstr("\r\n\r\nsource{ip: 198.51.100.9, port: ")));
  EXPECT_THAT(curl("-I http://198.51.100.1/"), EndsWith("\r\n\r\n"));
}

TEST_F(Echo, SpeaksJsonWhenAsked) {
  const RunningEcho echo({on("0.0.0.0", 80)});
  EXPECT_EQ(test::must(world.outside(),
                       "curl -sS --max-time 10 -H 'Accept: application/json' http://198.51.100.1/ | "
                       "jq -r '.source.ip, .dest.ip, .dest.port, (.original_dest | type)'"),
            "198.51.100.9\n198.51.100.1\n80\nobject\n");
}

// Closing at once would answer the rest of the body with a reset, and many clients then lose the answer.
TEST_F(Echo, LetsAClientFinishItsRequestAfterTheAnswer) {
  const RunningEcho echo({on("0.0.0.0", 80)});
  const netns::UniqueFd client = connect_silently(world.outside(), 80);
  const std::string head = "POST / HTTP/1.1\r\nContent-Length: 100000\r\n\r\n";
  ASSERT_EQ(::send(client.get(), head.data(), head.size(), MSG_NOSIGNAL), static_cast<ssize_t>(head.size()));
  pollfd answered{client.get(), POLLIN, 0};
  ASSERT_EQ(::poll(&answered, 1, 10'000), 1);
  const std::string piece(1000, 'x');
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(::send(client.get(), piece.data(), piece.size(), MSG_NOSIGNAL), 1000) << std::strerror(errno);
  }
  ASSERT_EQ(::shutdown(client.get(), SHUT_WR), 0);
  std::array<char, 4096> buffer{};
  EXPECT_GT(::recv(client.get(), buffer.data(), buffer.size(), 0), 100);
  EXPECT_EQ(::recv(client.get(), buffer.data(), buffer.size(), 0), 0) << std::strerror(errno);
}

TEST_F(Echo, ClientsThatSayNothingGetTheLine) {
  const RunningEcho echo({on("0.0.0.0", 80)});
  // With -d nc neither says anything nor ends its side; it leaves when the server does.
  EXPECT_THAT(test::must(world.outside(), "timeout 10 nc -d 198.51.100.1 80"),
              MatchesRegex("source\\{ip: 198.51.100.9, port: [0-9]+\\}; dest\\{ip: 198.51.100.1, port: 80\\}; .*\n"));
}

TEST_F(Echo, ClientsThatEndTheirInputGetTheLine) {
  const RunningEcho echo({on("0.0.0.0", 80)});
  EXPECT_THAT(test::must(world.outside(), "timeout 10 nc -N 198.51.100.1 80 </dev/null"), StartsWith("source{ip: "));
}

TEST_F(Echo, TextThatCouldBecomeHttpButDoesNotGetsTheLine) {
  const RunningEcho echo({on("0.0.0.0", 80)});
  const auto outcome = test::tcp_talk(world.outside(), "198.51.100.1", 80, {.message = "GET /"});
  ASSERT_TRUE(outcome.reached()) << outcome;
  EXPECT_THAT(outcome.reply, StartsWith("source{ip: "));
}

TEST_F(Echo, UdpIsAnsweredFromTheAddressThatWasAsked) {
  test::must("ip address add 198.51.100.77/24 dev up0");
  const RunningEcho echo({on("0.0.0.0", 53, Protocol::udp)});
  // udp_talk takes an answer from the asked address only.
  const auto outcome = test::udp_talk(world.outside(), "198.51.100.77", 53, {.from_port = 43210});
  ASSERT_TRUE(outcome.reached()) << outcome;
  EXPECT_EQ(outcome.reply,
            "source{ip: 198.51.100.9, port: 43210}; dest{ip: 198.51.100.77, port: 53}; "
            "original dest{strerror: Protocol not available, errno: 92}");
}

TEST_F(Echo, UdpOverIpv6IsAnsweredFromTheAddressThatWasAsked) {
  test::must("ip address add 2001:db8::1/64 dev up0 nodad; ip address add 2001:db8::77/64 dev up0 nodad");
  test::must(world.outside(), "ip address add 2001:db8::9/64 dev up0 nodad");
  const RunningEcho echo({on("::", 53, Protocol::udp)});
  EXPECT_THAT(test::udp_talk(world.outside(), "2001:db8::77", 53).reply,
              AllOf(StartsWith("source{ip: 2001:db8::9, port: "), HasSubstr("dest{ip: 2001:db8::77, port: 53}")));
  const auto v4 = test::udp_talk(world.outside(), "198.51.100.1", 53);
  EXPECT_THAT(v4.reply,
              AllOf(StartsWith("source{ip: 198.51.100.9, port: "), HasSubstr("dest{ip: 198.51.100.1, port: 53}")));
}

// With a spoofed source two servers would answer each other for ever.
TEST_F(Echo, UdpDoesNotAnswerAnAnswer) {
  const RunningEcho echo({on("0.0.0.0", 53, Protocol::udp)});
  const auto outcome = test::udp_talk(world.outside(), "198.51.100.1", 53,
                                      {.from_port = 43210, .deadline = 1ms, .message = "source{ip: 1.2.3.4"});
  // The same port asks again with something else: the only answer that comes is to the second question.
  const auto second = test::udp_talk(world.outside(), "198.51.100.1", 53, {.from_port = 43210});
  EXPECT_FALSE(outcome.reached()) << outcome;
  EXPECT_TRUE(second.reached()) << second;
}

TEST_F(Echo, UnfinishedRequestsNeitherBlockOthersNorStayForEver) {
  const RunningEcho echo({on("0.0.0.0", 80)});
  std::vector<netns::UniqueFd> slow;
  for (int i = 0; i < 700; ++i) {  // more than the server keeps
    slow.push_back(connect_silently(world.outside(), 80));
    ASSERT_EQ(::send(slow.back().get(), "GET / HTTP/1.1\r\n", 16, MSG_NOSIGNAL), 16);
  }
  const auto outcome = test::tcp_talk(world.outside(), "198.51.100.1", 80, {.deadline = 3s});
  EXPECT_TRUE(outcome.reached()) << outcome;
  pollfd last{slow.back().get(), POLLIN, 0};
  ASSERT_EQ(::poll(&last, 1, 20'000), 1) << "still open after 20 s";
  char byte = 0;
  EXPECT_LE(::recv(last.fd, &byte, 1, 0), 0) << "an unfinished request was answered";
}

TEST_F(Echo, AThousandPortsNeedNoHigherLimitOfTheCaller) {
  std::vector<EchoListen> ports;
  for (std::uint16_t port = 2000; port < 3000; ++port) ports.push_back(on("0.0.0.0", port));
  const RunningEcho echo(ports, 256);
  ASSERT_TRUE(echo.is_ready());
  EXPECT_THAT(test::tcp_talk(world.outside(), "198.51.100.1", 2000).reply,
              HasSubstr("dest{ip: 198.51.100.1, port: 2000}"));
  EXPECT_THAT(test::tcp_talk(world.outside(), "198.51.100.1", 2999).reply,
              HasSubstr("dest{ip: 198.51.100.1, port: 2999}"));
}

TEST_F(Echo, EndsWithSuccessOnSigtermAndSigint) {
  for (const int signal : {SIGTERM, SIGINT}) {
    RunningEcho echo({on("0.0.0.0", 80)});
    const netns::UniqueFd silent = connect_silently(world.outside(), 80);
    EXPECT_EQ(echo.end_with(signal), 0) << strsignal(signal);
  }
}

TEST_F(Echo, APortInUseIsAConflictThatNamesIt) {
  const test::TcpServer holder(world.host(), "0.0.0.0", 80);
  try {
    serve_echo({{on("0.0.0.0", 81), on("0.0.0.0", 80)}});
    FAIL() << "it was bound";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::conflict);
    EXPECT_EQ(e.message(), "cannot listen on '0.0.0.0:80/tcp': another socket has this port (EADDRINUSE)");
  }
}

TEST_F(Echo, AForeignAddressIsNamed) {
  try {
    serve_echo({{on("203.0.113.5", 80, Protocol::udp)}});
    FAIL() << "it was bound";
  } catch (const Error& e) {
    EXPECT_EQ(e.message(),
              "cannot listen on '203.0.113.5:80/udp': this host does not have the address (EADDRNOTAVAIL)");
  }
}

TEST_F(Echo, NothingToListenOnIsAnError) { EXPECT_THROW(serve_echo({}), Error); }

TEST_F(Echo, SctpIsServedOrRefusedWithAReason) {
  const netns::UniqueFd has_sctp(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_SCTP));
  if (has_sctp) {
    const RunningEcho echo({on("0.0.0.0", 80, Protocol::sctp)});
    EXPECT_TRUE(echo.is_ready());
    return;
  }
  try {
    serve_echo({{on("0.0.0.0", 80, Protocol::sctp)}});
    FAIL() << "it was bound";
  } catch (const Error& e) {
    EXPECT_THAT(e.message(), StartsWith("cannot listen on '0.0.0.0:80/sctp': this kernel does not have the protocol"));
  }
}

}  // namespace
}  // namespace mb::container
