// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/kernel/netlink.h"

#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>
#include <netlink/attr.h>
#include <netlink/msg.h>

namespace mb::kernel {
namespace {

constexpr int kAttributeHeader = NLA_HDRLEN;
constexpr std::size_t kReceiveBytes = 32768;  // the kernel fills a dump's messages up to this size
constexpr std::size_t kTogether = 64;         // messages that surely fit a socket's buffer, and so do their errors
constexpr int kDumpAttempts = 50;

// The kernel's sentence in the attributes that begin `skip` bytes into the payload.
std::string extended_ack(const nlmsghdr& header, std::size_t skip) {
  if ((header.nlmsg_flags & NLM_F_ACK_TLVS) == 0 || header.nlmsg_len < NLMSG_HDRLEN + skip) return {};
  std::string words = Attributes(header, skip).text(NLMSGERR_ATTR_MSG);
  while (!words.empty() && (words.back() == '.' || words.back() == '\n')) words.pop_back();
  return words;
}

// The requests that are under way. The kernel answers in their order, so the answer to the last one is the end.
struct Exchange {
  Exchange(std::span<const Message> messages, const Socket::OnReply& listener)
      : first(nlmsg_hdr(messages.front().get())->nlmsg_seq),
        last(nlmsg_hdr(messages.back().get())->nlmsg_seq),
        on_reply(listener) {}

  std::uint32_t first;  // sequence numbers
  std::uint32_t last;
  const Socket::OnReply& on_reply;
  bool ends_with_reply = false;  // else with an acknowledgement, or with the end of a dump
  int tolerated = 0;
  bool ended = false;
  bool consistent = true;  // a dump that was interrupted by a change is not
  int error_number = 0;    // of the first failure
  std::string sentence;

  void take(const nlmsghdr& header) {
    if (header.nlmsg_seq - first > last - first) return;  // of an exchange that was given up
    if ((header.nlmsg_flags & NLM_F_DUMP_INTR) != 0) consistent = false;
    if (header.nlmsg_type == NLMSG_ERROR || header.nlmsg_type == NLMSG_DONE) {
      note_result(header, header.nlmsg_type == NLMSG_ERROR ? sizeof(nlmsgerr) : sizeof(int));
    } else {
      if (on_reply) on_reply(header);
      if (!ends_with_reply) return;
    }
    ended = ended || header.nlmsg_seq == last;
  }

 private:
  // Both kinds begin with a number that is negative when something failed. A dump's last message says what ended it.
  void note_result(const nlmsghdr& header, std::size_t size) {
    int result = 0;
    if (header.nlmsg_len >= NLMSG_LENGTH(sizeof result)) std::memcpy(&result, nlmsg_data(&header), sizeof result);
    if (result >= 0 || error_number != 0 || -result == tolerated) return;
    error_number = -result;
    sentence = extended_ack(header, size);
  }
};

// Reads until the exchange has ended. What `on_reply` throws goes through: what is left unread then is passed over later.
void await(int fd, Exchange& exchange, std::string_view attempt) {
  alignas(nlmsghdr) std::array<char, kReceiveBytes> buffer;
  while (!exchange.ended) {
    const ssize_t got = ::recv(fd, buffer.data(), buffer.size(), MSG_TRUNC);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0 || static_cast<std::size_t>(got) > buffer.size()) {
      throw system_failure(fmt::format("{}: no answer from the kernel", attempt), got < 0 ? errno : EIO);
    }
    int left = static_cast<int>(got);
    for (auto* header = reinterpret_cast<nlmsghdr*>(buffer.data()); nlmsg_ok(header, left) != 0;
         header = nlmsg_next(header, &left)) {
      exchange.take(*header);
    }
  }
  if (exchange.error_number != 0) throw netlink_failure(attempt, exchange.error_number, exchange.sentence);
}

// All in one call. The kernel has carried them out when it returns.
void send_together(int fd, std::span<const Message> messages, std::string_view attempt) {
  std::array<iovec, kTogether> parts{};
  for (std::size_t i = 0; i < messages.size(); ++i) {
    auto* header = nlmsg_hdr(messages[i].get());
    parts.at(i) = {header, header->nlmsg_len};
  }
  msghdr head{};
  head.msg_iov = parts.data();
  head.msg_iovlen = messages.size();
  if (::sendmsg(fd, &head, 0) < 0) throw system_failure(attempt, errno);
}

// None at the end, or where what follows is no attribute.
const nlattr* first_of(std::span<const std::uint8_t> bytes) {
  if (bytes.size() < kAttributeHeader) return nullptr;
  const auto* found = reinterpret_cast<const nlattr*>(bytes.data());
  return found->nla_len < kAttributeHeader || found->nla_len > bytes.size() ? nullptr : found;
}

void switch_on(int fd, int option) {
  const int on = 1;
  // A kernel without it answers with less; nothing here depends on it.
  (void)::setsockopt(fd, SOL_NETLINK, option, &on, sizeof on);
}

[[noreturn]] void message_full() { throw Error(ErrorKind::failed, "a netlink message is too long for its buffer"); }

}  // namespace

void Message::Free::operator()(nl_msg* message) const noexcept { nlmsg_free(message); }

Message::Message(nl_msg* built) : message_(built) {
  if (!message_) throw std::bad_alloc();
}

Message::Message(int type, int flags) : Message(nlmsg_alloc_simple(type, flags)) {}

void Message::append(const void* header, std::size_t size) {
  if (nlmsg_append(message_.get(), const_cast<void*>(header), size, NLMSG_ALIGNTO) < 0) message_full();
}

void Message::put(int attribute, const void* data, std::size_t size) {
  if (nla_put(message_.get(), attribute, static_cast<int>(size), data) < 0) message_full();
}

void Message::put(int attribute, std::string_view text) {
  const std::string closed(text);
  put(attribute, closed.c_str(), closed.size() + 1);
}

void Message::nest(int attribute, const std::function<void()>& fill) {
  nlattr* start = nla_nest_start(message_.get(), attribute | NLA_F_NESTED);
  if (start == nullptr) message_full();
  fill();
  if (nla_nest_end_keep_empty(message_.get(), start) < 0) message_full();
}

Attributes::Attributes(const nlmsghdr& reply, std::size_t header_size) {
  const std::size_t skip = NLMSG_HDRLEN + NLMSG_ALIGN(header_size);
  if (reply.nlmsg_len > skip) data_ = {reinterpret_cast<const std::uint8_t*>(&reply) + skip, reply.nlmsg_len - skip};
}

Attributes::Attributes(const nlattr* nested) {
  if (nested == nullptr) return;
  data_ = {reinterpret_cast<const std::uint8_t*>(nested) + kAttributeHeader,
           static_cast<std::size_t>(nested->nla_len - kAttributeHeader)};
}

const nlattr* Attributes::operator[](int attribute) const {
  auto rest = data_;
  while (const auto* found = first_of(rest)) {
    if ((found->nla_type & NLA_TYPE_MASK) == attribute) return found;
    rest = rest.subspan(std::min<std::size_t>(NLA_ALIGN(found->nla_len), rest.size()));
  }
  return nullptr;
}

void Attributes::each(const std::function<void(int, const nlattr*)>& visit) const {
  auto rest = data_;
  while (const auto* found = first_of(rest)) {
    visit(found->nla_type & NLA_TYPE_MASK, found);
    rest = rest.subspan(std::min<std::size_t>(NLA_ALIGN(found->nla_len), rest.size()));
  }
}

std::span<const std::uint8_t> Attributes::bytes(int attribute) const { return nested(attribute).data_; }

template <class T>
std::optional<T> Attributes::number(int attribute) const {
  const auto content = bytes(attribute);
  if (content.size() < sizeof(T)) return std::nullopt;
  T value;
  std::memcpy(&value, content.data(), sizeof value);
  return value;
}

std::optional<std::uint8_t> Attributes::u8(int attribute) const { return number<std::uint8_t>(attribute); }
std::optional<std::uint16_t> Attributes::u16(int attribute) const { return number<std::uint16_t>(attribute); }
std::optional<std::uint32_t> Attributes::u32(int attribute) const { return number<std::uint32_t>(attribute); }

std::string Attributes::text(int attribute) const {
  const auto content = bytes(attribute);
  const auto* start = reinterpret_cast<const char*>(content.data());
  return content.empty() ? std::string() : std::string(start, ::strnlen(start, content.size()));
}

const void* header_of(const nlmsghdr& reply, std::size_t size) {
  if (reply.nlmsg_len < NLMSG_HDRLEN + size) throw Error(ErrorKind::failed, "the kernel's answer is too short");
  return reinterpret_cast<const char*>(&reply) + NLMSG_HDRLEN;
}

Socket::Socket(int protocol) : fd_(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol)) {
  if (!fd_) throw system_failure("cannot open a netlink socket", errno);
  switch_on(fd_.get(), NETLINK_EXT_ACK);
  switch_on(fd_.get(), NETLINK_CAP_ACK);
  switch_on(fd_.get(), NETLINK_GET_STRICT_CHK);
}

void Socket::send(std::span<const Message> messages, int flags, std::string_view attempt) {
  for (const auto& message : messages) {
    auto* header = nlmsg_hdr(message.get());
    header->nlmsg_seq = ++sequence_;
    header->nlmsg_flags |= NLM_F_REQUEST;
  }
  nlmsg_hdr(messages.back().get())->nlmsg_flags |= static_cast<std::uint16_t>(flags);
  send_together(fd_.get(), messages, attempt);
}

void Socket::request(const Message& message, std::string_view attempt, const OnReply& on_reply) {
  const std::span<const Message> one(&message, 1);
  send(one, NLM_F_ACK, attempt);
  Exchange exchange(one, on_reply);
  await(fd_.get(), exchange, attempt);
}

void Socket::ask(const Message& message, std::string_view attempt, const OnReply& on_reply) {
  const std::span<const Message> one(&message, 1);
  send(one, 0, attempt);
  Exchange exchange(one, on_reply);
  exchange.ends_with_reply = true;
  await(fd_.get(), exchange, attempt);
}

void Socket::dump(const Message& message, std::string_view attempt, const std::function<void()>& restart,
                  const OnReply& on_reply) {
  const std::span<const Message> one(&message, 1);
  for (int i = 0; i < kDumpAttempts; ++i) {
    restart();
    send(one, NLM_F_DUMP, attempt);
    Exchange exchange(one, on_reply);
    await(fd_.get(), exchange, attempt);
    if (exchange.consistent) return;
  }
  throw Error(ErrorKind::failed, fmt::format("{}: it changed faster than it could be read", attempt), "try again",
              EAGAIN);
}

void Socket::request_all(std::span<const Message> messages, std::string_view attempt, int tolerated) {
  const OnReply none;
  std::optional<Error> first;
  for (; !messages.empty(); messages = messages.subspan(std::min(messages.size(), kTogether))) {
    const auto some = messages.first(std::min(messages.size(), kTogether));
    send(some, NLM_F_ACK, attempt);
    Exchange exchange(some, none);
    exchange.tolerated = tolerated;
    try {
      await(fd_.get(), exchange, attempt);
    } catch (const Error& e) {
      if (!first) first = e;
    }
  }
  if (first) throw *first;
}

bool Socket::ask_for_link(unsigned long question, std::string_view name, ifreq& answer) const {
  if (name.size() >= sizeof answer.ifr_name) return false;
  std::copy(name.begin(), name.end(), answer.ifr_name);
  if (::ioctl(fd_.get(), question, &answer) == 0) return true;
  if (errno == ENODEV) return false;
  throw system_failure(fmt::format("cannot look for link '{}'", name), errno);
}

std::optional<int> Socket::link_index(std::string_view name) const {
  ifreq answer{};
  return ask_for_link(SIOCGIFINDEX, name, answer) ? std::optional(answer.ifr_ifindex) : std::nullopt;
}

std::optional<std::string> Socket::link_name(int index) const {
  ifreq answer{};
  answer.ifr_ifindex = index;
  if (::ioctl(fd_.get(), SIOCGIFNAME, &answer) == 0) return std::string(answer.ifr_name);
  if (errno == ENODEV) return std::nullopt;
  throw system_failure(fmt::format("cannot look for link number {}", index), errno);
}

bool Socket::is_link_up(std::string_view name) const {
  ifreq answer{};
  return ask_for_link(SIOCGIFFLAGS, name, answer) && (answer.ifr_flags & IFF_UP) != 0;
}

Error netlink_failure(std::string_view attempt, int error_number, std::string_view sentence) {
  if (sentence.empty()) return system_failure(attempt, error_number);
  const bool forbidden = error_number == EPERM || error_number == EACCES;
  return {forbidden ? ErrorKind::privilege : ErrorKind::failed,
          fmt::format("{}: {} ({})", attempt, sentence, errno_name(error_number)),
          {},
          error_number};
}

}  // namespace mb::kernel
