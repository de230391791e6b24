// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/trace/nflog.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <utility>

#include <fmt/format.h>

extern "C" {
#include <libnetfilter_log/libnetfilter_log.h>
}

#include "src/base/error.h"

namespace mb::trace {
namespace {

constexpr unsigned kBytesOfPacket = 256;

struct Close {
  void operator()(nflog_handle* handle) const { nflog_close(handle); }
};
struct Unbind {
  void operator()(nflog_g_handle* group) const { nflog_unbind_group(group); }
};

}  // namespace

struct LogListener::State {
  std::unique_ptr<nflog_handle, Close> handle;
  std::unique_ptr<nflog_g_handle, Unbind> group;
  std::vector<LoggedPacket> packets;

  static int on_packet(nflog_g_handle*, nfgenmsg*, nflog_data* data, void* self) noexcept {
    LoggedPacket packet;
    if (const char* prefix = nflog_get_prefix(data)) packet.prefix = prefix;
    char* bytes = nullptr;
    const int size = nflog_get_payload(data, &bytes);
    if (size > 0) packet.bytes.assign(bytes, static_cast<std::size_t>(size));
    static_cast<State*>(self)->packets.push_back(std::move(packet));
    return 0;
  }
};

LogListener::LogListener(std::uint16_t group) : state_(std::make_unique<State>()) {
  const std::string attempt = fmt::format("cannot listen to NFLOG group {}", group);
  state_->handle.reset(nflog_open());
  if (!state_->handle) throw system_failure(attempt, errno);
  state_->group.reset(nflog_bind_group(state_->handle.get(), group));
  if (!state_->group) {
    if (errno == EBUSY) throw Error(ErrorKind::conflict, attempt + ": somebody listens to it already", {}, EBUSY);
    throw system_failure(attempt, errno);
  }
  nflog_callback_register(state_->group.get(), &State::on_packet, state_.get());
  // A threshold of 1: each packet at once, not when a buffer is full or a second has passed.
  if (nflog_set_mode(state_->group.get(), NFULNL_COPY_PACKET, kBytesOfPacket) < 0 ||
      nflog_set_qthresh(state_->group.get(), 1) < 0) {
    throw system_failure(attempt, errno);
  }
}

LogListener::~LogListener() = default;
LogListener::LogListener(LogListener&&) noexcept = default;

std::vector<LoggedPacket> LogListener::take() {
  std::array<char, 65536> buffer{};
  while (true) {
    const ssize_t got = ::recv(nflog_fd(state_->handle.get()), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    nflog_handle_packet(state_->handle.get(), buffer.data(), static_cast<int>(got));
  }
  return std::exchange(state_->packets, {});
}

}  // namespace mb::trace
