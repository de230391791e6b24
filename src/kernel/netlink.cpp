// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/kernel/netlink.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <exception>

#include <fmt/format.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>

namespace mb::kernel {
namespace {

constexpr int kAttributeHeader = NLA_HDRLEN;
constexpr std::size_t kReceiveBytes = 32768;  // the kernel fills a dump's messages up to this size
constexpr int kSocketBuffer = 1 << 20;
constexpr std::size_t kInFlight = 64;  // acknowledgements that surely fit the socket's buffer
constexpr int kDumpAttempts = 50;

// What the callbacks below record about the requests that are under way. They are called from C and so must not
// throw: the caller of nl_recvmsgs does.
struct Exchange {
  std::uint32_t first = 0;  // sequence numbers
  std::uint32_t last = 0;
  std::size_t unanswered = 0;
  const Socket::OnReply* on_reply = nullptr;
  int tolerated = 0;
  int error_number = 0;  // of the first failure
  std::string sentence;
  std::exception_ptr thrown;  // by on_reply

  bool concerns(const nlmsghdr& header) const { return header.nlmsg_seq - first <= last - first; }

  // Notes the end of one answer and says whether to read on. Left alone, libnl would wait for more after a reply that is
  // flagged as a part of several without being one (the statistics of connection tracking are).
  int answered() { return --unanswered == 0 ? NL_STOP : NL_OK; }

  void fail(int error, std::string words) {
    if (error_number != 0 || error == tolerated) return;
    error_number = error;
    sentence = std::move(words);
  }
};

// The kernel's sentence in the attributes that begin `skip` bytes into the payload.
std::string extended_ack(const nlmsghdr& header, std::size_t skip) {
  if ((header.nlmsg_flags & NLM_F_ACK_TLVS) == 0 || header.nlmsg_len < NLMSG_HDRLEN + skip) return {};
  std::string words = Attributes(header, skip).text(NLMSGERR_ATTR_MSG);
  while (!words.empty() && (words.back() == '.' || words.back() == '\n')) words.pop_back();
  return words;
}

int on_valid(nl_msg* message, void* argument) noexcept {
  auto& exchange = *static_cast<Exchange*>(argument);
  const nlmsghdr& header = *nlmsg_hdr(message);
  if (!exchange.concerns(header) || exchange.on_reply == nullptr || !*exchange.on_reply || exchange.thrown)
    return NL_OK;
  try {
    (*exchange.on_reply)(header);
  } catch (...) {
    exchange.thrown = std::current_exception();
  }
  return NL_OK;
}

int on_ack(nl_msg* message, void* argument) noexcept {
  auto& exchange = *static_cast<Exchange*>(argument);
  return exchange.concerns(*nlmsg_hdr(message)) ? exchange.answered() : NL_OK;
}

// A dump's last message carries the error that ended it early, if any.
int on_finish(nl_msg* message, void* argument) noexcept {
  auto& exchange = *static_cast<Exchange*>(argument);
  const nlmsghdr& header = *nlmsg_hdr(message);
  if (!exchange.concerns(header)) return NL_OK;
  int result = 0;
  if (header.nlmsg_len >= NLMSG_LENGTH(sizeof result)) std::memcpy(&result, nlmsg_data(&header), sizeof result);
  if (result < 0) exchange.fail(-result, extended_ack(header, sizeof result));
  return exchange.answered();
}

int on_error(sockaddr_nl* /*from*/, nlmsgerr* error, void* argument) noexcept {
  auto& exchange = *static_cast<Exchange*>(argument);
  // libnl hands out the payload only; the header with the flags stands right before it.
  const auto& header = *reinterpret_cast<const nlmsghdr*>(reinterpret_cast<const char*>(error) - NLMSG_HDRLEN);
  if (!exchange.concerns(header)) return NL_SKIP;
  exchange.fail(-error->error, extended_ack(header, sizeof *error));
  return exchange.answered() == NL_STOP ? NL_STOP : NL_SKIP;
}

struct FreeCallbacks {
  void operator()(nl_cb* callbacks) const noexcept { nl_cb_put(callbacks); }
};
using Callbacks = std::unique_ptr<nl_cb, FreeCallbacks>;

Callbacks callbacks_for(Exchange& exchange) {
  Callbacks callbacks(nl_cb_alloc(NL_CB_DEFAULT));
  if (!callbacks) throw std::bad_alloc();
  nl_cb_set(
      callbacks.get(), NL_CB_SEQ_CHECK, NL_CB_CUSTOM, [](nl_msg*, void*) { return static_cast<int>(NL_OK); }, nullptr);
  nl_cb_set(callbacks.get(), NL_CB_VALID, NL_CB_CUSTOM, on_valid, &exchange);
  nl_cb_set(callbacks.get(), NL_CB_ACK, NL_CB_CUSTOM, on_ack, &exchange);
  nl_cb_set(callbacks.get(), NL_CB_FINISH, NL_CB_CUSTOM, on_finish, &exchange);
  nl_cb_err(callbacks.get(), NL_CB_CUSTOM, on_error, &exchange);
  return callbacks;
}

std::uint32_t send(nl_sock* socket, const Message& message, std::string_view attempt) {
  // nl_complete_msg fills in a sequence number only where there is none: a message may be sent twice.
  nlmsg_hdr(message.get())->nlmsg_seq = NL_AUTO_SEQ;
  if (const int sent = nl_send_auto(socket, message.get()); sent < 0) {
    throw system_failure(attempt, errno != 0 ? errno : EIO);
  }
  return nlmsg_hdr(message.get())->nlmsg_seq;
}

// Returns whether the answer is consistent (a dump that was interrupted by a change is not).
bool await(nl_sock* socket, Exchange& exchange, std::string_view attempt) {
  const Callbacks callbacks = callbacks_for(exchange);
  bool consistent = true;
  while (exchange.unanswered > 0) {
    errno = 0;
    const int result = nl_recvmsgs(socket, callbacks.get());
    if (result == -NLE_DUMP_INTR) {
      consistent = false;
    } else if (result < 0 && exchange.unanswered > 0) {
      throw system_failure(fmt::format("{}: no answer from the kernel", attempt), errno != 0 ? errno : EIO);
    }
  }
  if (exchange.thrown) std::rethrow_exception(exchange.thrown);
  if (exchange.error_number != 0) throw netlink_failure(attempt, exchange.error_number, exchange.sentence);
  return consistent;
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
  while (rest.size() >= kAttributeHeader) {
    const auto* found = reinterpret_cast<const nlattr*>(rest.data());
    if (found->nla_len < kAttributeHeader || found->nla_len > rest.size()) return nullptr;
    if ((found->nla_type & NLA_TYPE_MASK) == attribute) return found;
    rest = rest.subspan(std::min<std::size_t>(NLA_ALIGN(found->nla_len), rest.size()));
  }
  return nullptr;
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

void Socket::Free::operator()(nl_sock* socket) const noexcept { nl_socket_free(socket); }

Socket::Socket(int protocol) : socket_(nl_socket_alloc()) {
  if (!socket_) throw std::bad_alloc();
  // Let the kernel choose the port number: libnl's own choice has room for 1024 sockets in a process.
  nl_socket_set_local_port(socket_.get(), 0);
  errno = 0;
  if (nl_connect(socket_.get(), protocol) < 0) {
    throw system_failure("cannot open a netlink socket", errno != 0 ? errno : EIO);
  }
  nl_socket_set_buffer_size(socket_.get(), kSocketBuffer, kSocketBuffer);  // less is given where less is allowed
  nl_socket_set_msg_buf_size(socket_.get(), kReceiveBytes);
  const int fd = nl_socket_get_fd(socket_.get());
  switch_on(fd, NETLINK_EXT_ACK);
  switch_on(fd, NETLINK_CAP_ACK);
  switch_on(fd, NETLINK_GET_STRICT_CHK);
}

void Socket::request(const Message& message, std::string_view attempt, const OnReply& on_reply) {
  Exchange exchange;
  exchange.on_reply = &on_reply;
  exchange.first = exchange.last = send(socket_.get(), message, attempt);
  exchange.unanswered = 1;
  await(socket_.get(), exchange, attempt);
}

void Socket::dump(const Message& message, std::string_view attempt, const std::function<void()>& restart,
                  const OnReply& on_reply) {
  nlmsg_hdr(message.get())->nlmsg_flags |= NLM_F_DUMP;
  for (int i = 0; i < kDumpAttempts; ++i) {
    restart();
    Exchange exchange;
    exchange.on_reply = &on_reply;
    exchange.first = exchange.last = send(socket_.get(), message, attempt);
    exchange.unanswered = 1;
    if (await(socket_.get(), exchange, attempt)) return;
  }
  throw Error(ErrorKind::failed, fmt::format("{}: it changed faster than it could be read", attempt), "try again",
              EAGAIN);
}

void Socket::request_all(const std::vector<Message>& messages, std::string_view attempt, int tolerated) {
  Exchange exchange;
  exchange.tolerated = tolerated;
  std::optional<Error> first;
  for (std::size_t begin = 0; begin < messages.size(); begin += kInFlight) {
    const std::size_t end = std::min(messages.size(), begin + kInFlight);
    for (std::size_t i = begin; i < end; ++i) {
      const auto sequence = send(socket_.get(), messages[i], attempt);
      if (i == begin) exchange.first = sequence;
      exchange.last = sequence;
    }
    exchange.unanswered = end - begin;
    try {
      await(socket_.get(), exchange, attempt);
    } catch (const Error& e) {
      if (!first) first = e;
    }
  }
  if (first) throw *first;
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
