// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/container/channel.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "src/base/error.h"

namespace mb::container {
namespace {

constexpr std::size_t kLongestMessage = 65536;

struct alignas(cmsghdr) DescriptorSpace {
  std::array<char, CMSG_SPACE(sizeof(int))> bytes{};
};

void attach_descriptor(msghdr& header, DescriptorSpace& space, int descriptor) {
  header.msg_control = space.bytes.data();
  header.msg_controllen = space.bytes.size();
  cmsghdr* control = CMSG_FIRSTHDR(&header);
  control->cmsg_level = SOL_SOCKET;
  control->cmsg_type = SCM_RIGHTS;
  control->cmsg_len = CMSG_LEN(sizeof descriptor);
  std::memcpy(CMSG_DATA(control), &descriptor, sizeof descriptor);
}

netns::UniqueFd received_descriptor(msghdr& header) {
  const cmsghdr* control = CMSG_FIRSTHDR(&header);
  if (control == nullptr || control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS) return {};
  int descriptor = -1;
  std::memcpy(&descriptor, CMSG_DATA(control), sizeof descriptor);
  return netns::UniqueFd(descriptor);
}

}  // namespace

bool Channel::send(Word word, std::string_view text, int descriptor) const {
  std::string bytes(1, static_cast<char>(word));
  bytes += text.substr(0, kLongestMessage - 1);
  iovec part{bytes.data(), bytes.size()};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  DescriptorSpace space;
  if (descriptor >= 0) attach_descriptor(header, space, descriptor);
  ssize_t sent = 0;
  do {
    sent = ::sendmsg(socket_.get(), &header, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent >= 0;
}

std::optional<Message> Channel::receive() const {
  std::string bytes(kLongestMessage, '\0');
  iovec part{bytes.data(), bytes.size()};
  DescriptorSpace space;
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = space.bytes.data();
  header.msg_controllen = space.bytes.size();
  ssize_t got = 0;
  do {
    got = ::recvmsg(socket_.get(), &header, MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  if (got <= 0) return std::nullopt;  // an error (ECONNRESET) also means that the other end is gone
  return Message{static_cast<Word>(bytes[0]), bytes.substr(1, static_cast<std::size_t>(got) - 1),
                 received_descriptor(header)};
}

ChannelPair open_channel() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    throw system_failure("cannot open a pair of sockets", errno);
  }
  return {Channel(netns::UniqueFd(ends[0])), Channel(netns::UniqueFd(ends[1]))};
}

}  // namespace mb::container
