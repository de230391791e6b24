// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/bench/stream.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <stdexcept>
#include <system_error>
#include <vector>

namespace mb::bench {
namespace {

constexpr std::size_t kPiece = std::size_t{64} << 20;
constexpr std::size_t kBlock = std::size_t{256} << 10;

ssize_t or_throw(ssize_t result, const char* what) {
  if (result < 0) throw std::system_error(errno, std::generic_category(), what);
  return result;
}

netns::UniqueFd tcp_socket(const netns::Namespace& where) {
  netns::UniqueFd fd(netns::run_in(where, [] { return ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); }));
  or_throw(fd.get(), "a socket");
  return fd;
}

sockaddr_in socket_address(const std::string& address, std::uint16_t port) {
  sockaddr_in made{};
  made.sin_family = AF_INET;
  made.sin_port = htons(port);
  if (::inet_pton(AF_INET, address.c_str(), &made.sin_addr) != 1) throw std::invalid_argument(address);
  return made;
}

// Reads, and answers each whole piece with one byte, until the other end closes.
void read_pieces(int fd) {
  std::vector<char> block(kBlock);
  std::size_t in_piece = 0;
  for (;;) {
    const ssize_t got = ::read(fd, block.data(), block.size());
    if (got <= 0) return;
    in_piece += static_cast<std::size_t>(got);
    if (in_piece < kPiece) continue;
    in_piece -= kPiece;
    if (::write(fd, "", 1) != 1) return;
  }
}

}  // namespace

OnOneProcessor::OnOneProcessor() {
  or_throw(::sched_getaffinity(0, sizeof before_, &before_), "the processors");
  cpu_set_t here;
  CPU_ZERO(&here);
  CPU_SET(static_cast<unsigned>(::sched_getcpu()), &here);
  or_throw(::sched_setaffinity(0, sizeof here, &here), "one processor");
}

OnOneProcessor::~OnOneProcessor() { (void)::sched_setaffinity(0, sizeof before_, &before_); }

Stream::Stream(const netns::Namespace& from, const std::string& address, std::uint16_t port,
               const netns::Namespace& server, std::uint16_t server_port)
    : client_(tcp_socket(from)) {
  const netns::UniqueFd listener = tcp_socket(server);
  const auto any = socket_address("0.0.0.0", server_port);
  or_throw(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&any), sizeof any), "bind");
  or_throw(::listen(listener.get(), 1), "listen");
  const auto peer = socket_address(address, port);
  or_throw(::connect(client_.get(), reinterpret_cast<const sockaddr*>(&peer), sizeof peer), "connect");
  accepted_ = netns::UniqueFd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  or_throw(accepted_.get(), "accept");
  reader_ = std::thread(read_pieces, accepted_.get());
}

Stream::~Stream() {
  ::shutdown(client_.get(), SHUT_RDWR);
  reader_.join();
}

void Stream::carry() const {
  static const std::vector<char> kData(kBlock);
  for (std::size_t sent = 0; sent < kPiece;) {
    const std::size_t rest = std::min(kBlock, kPiece - sent);
    sent += static_cast<std::size_t>(or_throw(::send(client_.get(), kData.data(), rest, MSG_NOSIGNAL), "send"));
  }
  char answer = 0;
  if (or_throw(::recv(client_.get(), &answer, 1, 0), "recv") != 1)
    throw std::runtime_error("the connection was closed");
}

}  // namespace mb::bench
