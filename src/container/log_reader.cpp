// SPDX-License-Identifier: GPL-2.0-or-later
//
// Reading a log, also while it grows. The file is never held in memory: `--tail` counts its lines in a first pass.
#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "src/base/error.h"
#include "src/container/log.h"
#include "src/container/run_files.h"

namespace mb::container {
namespace {

constexpr std::size_t kBlock = 32768;

// Turns the bytes of a log file back into output. Keeps only the mark between two blocks, never a line.
class Decoder {
 public:
  using Piece = std::function<void(Stream, std::string_view text, bool ends_line)>;
  explicit Decoder(Piece piece) : piece_(std::move(piece)) {}

  void feed(std::string_view bytes) {
    while (!bytes.empty()) {
      if (mark_ == 0) {
        mark_ = bytes.front();
        bytes.remove_prefix(1);
        continue;
      }
      const std::size_t newline = bytes.find('\n');
      give(bytes.substr(0, newline), newline != std::string_view::npos);
      bytes.remove_prefix(newline == std::string_view::npos ? bytes.size() : newline + 1);
    }
  }

 private:
  void give(std::string_view text, bool record_ends) {
    const Stream stream = mark_ == 'o' || mark_ == 'O' ? Stream::out : Stream::err;
    const bool ends_line = record_ends && (mark_ == 'o' || mark_ == 'e');
    if (record_ends) mark_ = 0;
    piece_(stream, text, ends_line);
  }

  Piece piece_;
  char mark_ = 0;
};

netns::UniqueFd open_if_there(const std::string& path) {
  netns::UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file && errno != ENOENT) throw system_failure(fmt::format("cannot open '{}'", path), errno);
  return file;
}

// From where the file was left to its present end.
void read_rest(int file, Decoder& decoder) {
  std::array<char, kBlock> block;
  while (true) {
    const ssize_t got = ::read(file, block.data(), block.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw system_failure("cannot read a container's log", errno);
    if (got == 0) return;
    decoder.feed({block.data(), static_cast<std::size_t>(got)});
  }
}

bool same_file(int a, int b) {
  struct stat first {};
  struct stat second {};
  return ::fstat(a, &first) == 0 && ::fstat(b, &second) == 0 && first.st_dev == second.st_dev &&
         first.st_ino == second.st_ino;
}

// The two files of a log, opened so that a rotation in between neither hides nor doubles anything.
struct Files {
  netns::UniqueFd older;
  netns::UniqueFd newer;
};

Files open_files(const std::string& path) {
  while (true) {
    Files files;
    files.newer = open_if_there(path);
    files.older = open_if_there(path + ".1");
    if (!files.older || !files.newer || !same_file(files.older.get(), files.newer.get())) return files;
  }
}

class Lines {
 public:
  void count(bool ends_line) {
    open_ = !ends_line;
    if (ends_line) ++complete_;
  }
  // A last line without its newline counts as well.
  std::size_t total() const { return complete_ + (open_ ? 1 : 0); }

 private:
  std::size_t complete_ = 0;
  bool open_ = false;
};

std::size_t count_lines(const Files& files) {
  Lines lines;
  Decoder decoder([&lines](Stream, std::string_view, bool ends_line) { lines.count(ends_line); });
  for (const auto* file : {&files.older, &files.newer}) {
    if (*file) read_rest(file->get(), decoder);
    if (*file) ::lseek(file->get(), 0, SEEK_SET);
  }
  return lines.total();
}

Decoder printing_after(std::size_t skipped_lines, const LogSink& sink) {
  return Decoder([skip = skipped_lines, &sink](Stream stream, std::string_view text, bool ends_line) mutable {
    if (skip == 0) {
      if (!text.empty()) sink(stream, text);
      if (ends_line) sink(stream, "\n");
    } else if (ends_line) {
      --skip;
    }
  });
}

Decoder print_present(const Files& files, std::optional<std::size_t> tail, const LogSink& sink) {
  const std::size_t total = tail ? count_lines(files) : 0;
  Decoder decoder = printing_after(tail && total > *tail ? total - *tail : 0, sink);
  for (const auto* file : {&files.older, &files.newer}) {
    if (*file) read_rest(file->get(), decoder);
  }
  return decoder;
}

netns::UniqueFd watch_directory(const std::string& directory) {
  netns::UniqueFd watch(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!watch) throw system_failure("cannot watch for changes of a file", errno);
  if (::inotify_add_watch(watch.get(), directory.c_str(), IN_MODIFY | IN_CREATE | IN_MOVED_TO) < 0) {
    throw system_failure(fmt::format("cannot watch '{}'", directory), errno);
  }
  return watch;
}

void forget_events(int watch) {
  std::array<char, 4096> events;
  while (::read(watch, events.data(), events.size()) > 0) {
  }
}

// Reads on; when the writer has begun a new file, the old one to its end first.
void read_news(const std::string& path, netns::UniqueFd& file, Decoder& decoder) {
  netns::UniqueFd present = open_if_there(path);
  if (file) read_rest(file.get(), decoder);
  if (!present || (file && same_file(file.get(), present.get()))) return;
  file = std::move(present);
  read_rest(file.get(), decoder);
}

}  // namespace

void read_log(const std::string& state_dir, const Id& id, std::optional<std::size_t> tail, const LogSink& sink) {
  print_present(open_files(directory_of(state_dir, id) + "/log"), tail, sink);
}

void follow_log(const std::string& state_dir, const Id& id, std::optional<std::size_t> tail, const LogSink& sink,
                const ExitWaiter& ended) {
  const std::string directory = directory_of(state_dir, id);
  const std::string path = directory + "/log";
  const netns::UniqueFd watch = watch_directory(directory);  // before the first look: nothing falls in between
  Files files = open_files(path);
  Decoder decoder = print_present(files, tail, sink);
  std::array<pollfd, 2> entries{{{watch.get(), POLLIN, 0}, {ended.fd(), POLLIN, 0}}};
  while (ended.fd() >= 0 && entries[1].revents == 0) {
    if (::poll(entries.data(), entries.size(), -1) < 0 && errno != EINTR) {
      throw system_failure("cannot wait for a container's output", errno);
    }
    forget_events(watch.get());
    read_news(path, files.newer, decoder);
  }
  read_news(path, files.newer, decoder);
}

}  // namespace mb::container
