// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/container/log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include <fmt/format.h>

#include "src/base/error.h"

namespace mb::container {
namespace {

constexpr std::size_t kLargestFile = std::size_t{8} * 1024 * 1024;

netns::UniqueFd open_log(const std::string& path) {
  return netns::UniqueFd(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
}

std::size_t size_of(int file) {
  struct stat status {};
  return ::fstat(file, &status) == 0 ? static_cast<std::size_t>(status.st_size) : 0;
}

char mark(Stream stream, bool whole_line) {
  if (stream == Stream::out) return whole_line ? 'o' : 'O';
  return whole_line ? 'e' : 'E';
}

std::string records_of(Stream stream, std::string_view text) {
  std::string records;
  while (!text.empty()) {
    const std::size_t newline = text.find('\n');
    const bool whole_line = newline != std::string_view::npos;
    records += mark(stream, whole_line);
    records += text.substr(0, newline);
    records += '\n';
    text.remove_prefix(whole_line ? newline + 1 : text.size());
  }
  return records;
}

}  // namespace

LogWriter::LogWriter(const std::string& state_dir, const Id& id)
    : path_(fmt::format("{}/containers/{}/log", state_dir, id)), file_(open_log(path_)) {
  if (!file_) throw system_failure(fmt::format("cannot open '{}'", path_), errno);
  size_ = size_of(file_.get());
}

void LogWriter::write(Stream stream, std::string_view text) {
  if (put(notice() + records_of(stream, text))) {
    unreported_ = 0;
    return;
  }
  dropped_ += text.size();
  unreported_ += text.size();
}

// All or nothing: half a record would spoil the next one.
bool LogWriter::put(const std::string& records) {
  if (size_ + records.size() > kLargestFile && !rotate()) return false;
  ssize_t written = 0;
  do {
    written = ::write(file_.get(), records.data(), records.size());
  } while (written < 0 && errno == EINTR);
  if (written == static_cast<ssize_t>(records.size())) {
    size_ += records.size();
    return true;
  }
  if (written > 0) [[maybe_unused]]
    const int ignored = ::ftruncate(file_.get(), static_cast<off_t>(size_));
  return false;
}

bool LogWriter::rotate() {
  const std::string older = path_ + ".1";
  if (::rename(path_.c_str(), older.c_str()) != 0) return false;
  netns::UniqueFd fresh = open_log(path_);
  if (!fresh) {
    ::rename(older.c_str(), path_.c_str());  // go on trying with the full one
    return false;
  }
  file_ = std::move(fresh);
  size_ = 0;
  return true;
}

// Written together with the next output: alone it would fill the last gaps of a full disk.
std::string LogWriter::notice() const {
  if (unreported_ == 0) return {};
  return records_of(Stream::err, fmt::format("minibridge: {} bytes of output could not be kept here\n", unreported_));
}

}  // namespace mb::container
