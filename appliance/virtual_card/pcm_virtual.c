/* ALSA PCM type "virtual": one jack (a microphone or a speaker) of a sound card that exists only in a file.
 *
 * The file is a header and a ring of frames, indexed by the absolute frame number of a clock that runs with
 * CLOCK_MONOTONIC from when the file was made. Capture reads the ring at its frames, playback writes it at its
 * frames, so a test that maps the file knows when every frame was at the microphone or at the speaker. The header
 * also holds what kind of jack it is, and what is wrong with it. card.py makes the file and is the other half.
 *
 * Configuration: pcm.NAME { type virtual file "PATH" }. */
#include <alsa/asoundlib.h>
#include <alsa/pcm_external.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define MAGIC 0x56434431u /* "VCD1" */
#define HEADER_BYTES 4096
#define RING_FRAMES (1u << 22) /* a power of two; card.py has the same number */
#define CHANNELS 2             /* of the ring; a mono jack uses the first, one with more than two see below */
#define LATE_NS 100000         /* a poll wakes this long after its frames are there, never before them */

/* What a sample is; card.py has the same order. */
static const unsigned int formats[] = {SND_PCM_FORMAT_S16_LE, SND_PCM_FORMAT_S24_3LE, SND_PCM_FORMAT_S24_LE,
				       SND_PCM_FORMAT_S32_LE, SND_PCM_FORMAT_IEC958_SUBFRAME_LE};

enum fault { FINE, GONE, STALLED, DISCONNECTED, ABSENT, BUSY, DENIED };

struct header {
	uint32_t magic, rate, channels_min, channels_max, format; /* the last one an index of formats */
	volatile int32_t fault;
	/* The clock: frame = base_frame + (now - base_ns) * rate * (1 + ppm / 1e6). Odd while it is being changed. */
	_Atomic uint32_t clock_version;
	uint32_t is_speaker;
	volatile int64_t base_ns;
	volatile double base_frame, ppm;
	/* What happened. */
	volatile uint64_t opens, closes, xruns;
	volatile int64_t owner, written; /* process that has it open, or 0; the frame after the newest that was played */
	volatile int32_t xrun_wanted;
	uint32_t period, buffer; /* frames, as last opened */
};

struct jack {
	snd_pcm_ioplug_t io;
	struct header *header;
	int16_t *ring;
	int lock, timer, running;
	int64_t start;   /* absolute frame of the first since start */
	uint64_t moved;  /* frames that the program has read or written since prepare */
	int64_t stalled; /* frames that had passed when the clock stopped, or -1 */
	int16_t *early;  /* what was written before start: its frame is not known yet */
};

static int64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/* Frames a second, and the frame at the speaker or microphone now. */
static double clock_now(struct jack *jack, double *per_second)
{
	struct header *header = jack->header;
	uint32_t version;
	double frame;
	do {
		while ((version = atomic_load(&header->clock_version)) & 1)
			;
		*per_second = header->rate * (1 + header->ppm * 1e-6);
		frame = header->base_frame + (double)(now_ns() - header->base_ns) * 1e-9 * *per_second;
	} while (atomic_load(&header->clock_version) != version);
	return frame;
}

/* Frames that have passed since start. */
static int64_t passed(struct jack *jack)
{
	double per_second;
	int64_t frames;
	if (jack->stalled >= 0)
		return jack->stalled;
	frames = jack->running ? (int64_t)clock_now(jack, &per_second) - jack->start : 0;
	if (frames < 0)
		frames = 0;
	if (jack->header->fault == STALLED)
		jack->stalled = frames;
	return frames;
}

static int is_playback(const struct jack *jack)
{
	return jack->io.stream == SND_PCM_STREAM_PLAYBACK;
}

/* Frames that the program could move now: room to write, or frames to read. ALSA fetches what a microphone has before
 * the program asks for it, so what has been moved is not what has been read. */
static int64_t available(struct jack *jack)
{
	int64_t elapsed = passed(jack);
	if (is_playback(jack))
		return (int64_t)jack->io.buffer_size - ((int64_t)jack->moved - elapsed);
	return elapsed - (int64_t)jack->io.appl_ptr;
}

/* Let the poll descriptor wake when a whole period can be moved, as the interrupt of a card does. */
static void arm(struct jack *jack)
{
	struct itimerspec when = {0};
	double per_second, frame = clock_now(jack, &per_second);
	int64_t missing, wait_ns;
	if (jack->running && jack->header->fault != STALLED) {
		missing = (int64_t)jack->io.period_size - available(jack);
		/* The clock is between two frames: the first of the missing ones is partly over. */
		wait_ns = (int64_t)(((double)missing - (frame - (double)(int64_t)frame)) / per_second * 1e9) + LATE_NS;
		if (missing <= 0 || wait_ns < 1)
			wait_ns = 1; /* zero would disarm it */
		when.it_value.tv_sec = wait_ns / 1000000000;
		when.it_value.tv_nsec = wait_ns % 1000000000;
	}
	timerfd_settime(jack->timer, 0, &when, NULL);
}

static int16_t *frame_at(struct jack *jack, int64_t frame)
{
	return jack->ring + ((uint64_t)frame & (RING_FRAMES - 1)) * CHANNELS;
}

static void silence(struct jack *jack, int64_t from, int64_t to)
{
	if (to - from > RING_FRAMES)
		from = to - RING_FRAMES;
	for (; from < to; from++)
		memset(frame_at(jack, from), 0, CHANNELS * sizeof(int16_t));
}

static int jack_prepare(snd_pcm_ioplug_t *io)
{
	struct jack *jack = io->private_data;
	/* A card that left with an xrun pending: every attempt to go on fails, which PortAudio 19.6 retries for ever. */
	if (jack->header->fault == GONE || jack->header->fault == DISCONNECTED)
		return -ENODEV;
	free(jack->early);
	jack->early = calloc(io->buffer_size, CHANNELS * sizeof(int16_t));
	if (!jack->early)
		return -ENOMEM;
	jack->running = 0;
	jack->moved = 0;
	jack->stalled = -1;
	jack->header->period = io->period_size;
	jack->header->buffer = io->buffer_size;
	return 0;
}

static int jack_start(snd_pcm_ioplug_t *io)
{
	struct jack *jack = io->private_data;
	double per_second;
	if (jack->header->fault == GONE || jack->header->fault == DISCONNECTED)
		return -ENODEV;
	jack->start = (int64_t)clock_now(jack, &per_second);
	if (is_playback(jack)) {
		/* Between two runs, and a lap of the ring ago, nothing was played now. */
		silence(jack, jack->header->written, jack->start);
		for (uint64_t i = 0; i < jack->moved; i++)
			memcpy(frame_at(jack, jack->start + (int64_t)i), jack->early + i * CHANNELS, CHANNELS * sizeof(int16_t));
		jack->header->written = jack->start + (int64_t)jack->moved;
	}
	jack->running = 1;
	arm(jack);
	return 0;
}

static int jack_stop(snd_pcm_ioplug_t *io)
{
	struct jack *jack = io->private_data;
	if (jack->running && is_playback(jack)) {
		/* What was queued and is not yet at the speaker is never heard. */
		silence(jack, jack->start + passed(jack), jack->start + (int64_t)jack->moved);
		jack->header->written = jack->start + passed(jack);
	}
	jack->running = 0;
	arm(jack);
	return 0;
}

/* Where the card is in its buffer. A negative answer puts the PCM into state XRUN. */
static snd_pcm_sframes_t jack_pointer(snd_pcm_ioplug_t *io)
{
	struct jack *jack = io->private_data;
	int64_t elapsed;
	if (jack->header->fault == GONE)
		return -ENODEV;
	elapsed = passed(jack);
	if (jack->header->fault == DISCONNECTED)
		snd_pcm_ioplug_set_state(io, SND_PCM_STATE_DISCONNECTED);
	else if (jack->running && jack->header->fault == FINE &&
		 (available(jack) > (int64_t)io->buffer_size || jack->header->xrun_wanted)) {
		jack->header->xrun_wanted = 0;
		jack->header->xruns++;
		return -EPIPE;
	}
	return elapsed % (int64_t)io->buffer_size;
}

/* The upper 16 bits of a sample; of a subframe of IEC 60958, those of its audio, bits 12 to 27. */
static int16_t sample_from(unsigned int format, const uint8_t *at)
{
	switch (format) {
	case SND_PCM_FORMAT_S16_LE:
		return (int16_t)(at[0] | at[1] << 8);
	case SND_PCM_FORMAT_S32_LE:
		return (int16_t)(at[2] | at[3] << 8);
	case SND_PCM_FORMAT_IEC958_SUBFRAME_LE:
		return (int16_t)(at[1] >> 4 | at[2] << 4 | at[3] << 12);
	default: /* 24 bits, in three bytes or in four */
		return (int16_t)(at[1] | at[2] << 8);
	}
}

static void sample_to(unsigned int format, uint8_t *at, int16_t sample)
{
	int width = snd_pcm_format_physical_width((snd_pcm_format_t)format) / 8;
	int upper = format == SND_PCM_FORMAT_S24_LE ? 2 : width - 1;
	memset(at, 0, (size_t)width);
	at[upper - 1] = (uint8_t)sample;
	at[upper] = (uint8_t)(sample >> 8);
	if (format == SND_PCM_FORMAT_S24_LE && sample < 0)
		at[3] = 0xff;
}

/* A microphone's channels beyond the first all hear what is in the second of the ring. A speaker's all count: in the
 * second of the ring is what the quietest of them plays. */
static void move(struct jack *jack, int16_t *frame, unsigned int channel, uint8_t *at)
{
	int16_t sample;
	if (!is_playback(jack)) {
		sample_to(jack->io.format, at, frame[channel ? 1 : 0]);
		return;
	}
	sample = sample_from(jack->io.format, at);
	if (channel < 2 || abs(sample) < abs(frame[1]))
		frame[channel ? 1 : 0] = sample;
}

/* Move frames between the program's buffer and the ring. */
static snd_pcm_sframes_t jack_transfer(snd_pcm_ioplug_t *io, const snd_pcm_channel_area_t *areas,
				       snd_pcm_uframes_t offset, snd_pcm_uframes_t size)
{
	struct jack *jack = io->private_data;
	if (jack->header->fault == GONE || jack->header->fault == DISCONNECTED)
		return -ENODEV;
	for (snd_pcm_uframes_t i = 0; i < size; i++) {
		int64_t index = (int64_t)(jack->moved + i);
		int16_t *frame = jack->running ? frame_at(jack, jack->start + index)
					       : jack->early + (index % (int64_t)io->buffer_size) * CHANNELS;
		for (unsigned int channel = 0; channel < io->channels; channel++) {
			const snd_pcm_channel_area_t *area = areas + channel;
			move(jack, frame, channel, (uint8_t *)area->addr + (area->first + (offset + i) * area->step) / 8);
		}
	}
	jack->moved += size;
	if (is_playback(jack) && jack->running)
		jack->header->written = jack->start + (int64_t)jack->moved;
	return (snd_pcm_sframes_t)size;
}

static int jack_delay(snd_pcm_ioplug_t *io, snd_pcm_sframes_t *delay)
{
	struct jack *jack = io->private_data;
	int64_t ahead = (int64_t)jack->moved - passed(jack);
	if (jack->header->fault == GONE || jack->header->fault == DISCONNECTED)
		return -ENODEV;
	*delay = is_playback(jack) ? ahead : -ahead;
	return 0;
}

/* Called before each wait: the timer is set here, when the program has taken what it wanted. */
static int jack_poll_descriptors(snd_pcm_ioplug_t *io, struct pollfd *fds, unsigned int space)
{
	struct jack *jack = io->private_data;
	if (space < 1)
		return -EINVAL;
	arm(jack);
	fds[0].fd = jack->timer;
	fds[0].events = POLLIN;
	fds[0].revents = 0;
	return 1;
}

static int jack_poll_revents(snd_pcm_ioplug_t *io, struct pollfd *fds, unsigned int count, unsigned short *events)
{
	struct jack *jack = io->private_data;
	uint64_t expirations;
	if (count && (fds[0].revents & POLLIN) && read(jack->timer, &expirations, sizeof expirations) < 0 && errno != EAGAIN)
		return -errno;
	*events = 0;
	if (jack->header->fault == GONE || jack->header->fault == DISCONNECTED)
		*events = POLLERR | POLLNVAL; /* as the kernel says of a card that was unplugged */
	else if (jack->running && available(jack) >= (int64_t)io->period_size)
		*events = is_playback(jack) ? POLLOUT : POLLIN;
	else
		arm(jack);
	return 0;
}

static int jack_close(snd_pcm_ioplug_t *io)
{
	struct jack *jack = io->private_data;
	jack_stop(io);
	jack->header->closes++;
	jack->header->owner = 0;
	close(jack->timer);
	close(jack->lock);
	munmap(jack->header, HEADER_BYTES + (size_t)RING_FRAMES * CHANNELS * sizeof(int16_t));
	free(jack->early);
	free(jack);
	return 0;
}

static const snd_pcm_ioplug_callback_t callbacks = {
	.start = jack_start,
	.stop = jack_stop,
	.pointer = jack_pointer,
	.transfer = jack_transfer,
	.close = jack_close,
	.prepare = jack_prepare,
	.delay = jack_delay,
	.poll_descriptors = jack_poll_descriptors,
	.poll_revents = jack_poll_revents,
};

static int refusal(int fault)
{
	switch (fault) {
	case GONE:
	case DISCONNECTED:
	case ABSENT:
		return -ENODEV;
	case BUSY:
		return -EBUSY;
	case DENIED:
		return -EACCES;
	default:
		return 0;
	}
}

/* Map the file; like a card, a jack serves one program at a time, and is free again when that is dead. */
static int jack_open(const char *path, int plays, struct jack **opened)
{
	size_t bytes = HEADER_BYTES + (size_t)RING_FRAMES * CHANNELS * sizeof(int16_t);
	struct jack *jack;
	int error, file = open(path, O_RDWR | O_CLOEXEC);
	struct header *header;
	if (file < 0)
		return -ENODEV;
	header = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	if (header == MAP_FAILED) {
		close(file);
		return -ENOMEM;
	}
	error = header->magic == MAGIC && (int)header->is_speaker == plays ? refusal(header->fault) : -ENODEV;
	if (!error && flock(file, LOCK_EX | LOCK_NB) < 0)
		error = -EBUSY;
	jack = error ? NULL : calloc(1, sizeof *jack);
	if (!jack) {
		munmap(header, bytes);
		close(file);
		return error ? error : -ENOMEM;
	}
	jack->header = header;
	jack->ring = (int16_t *)((char *)header + HEADER_BYTES);
	jack->lock = file;
	jack->stalled = -1;
	jack->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	*opened = jack;
	return 0;
}

static int constrain(struct jack *jack)
{
	static const unsigned int access[] = {SND_PCM_ACCESS_RW_INTERLEAVED, SND_PCM_ACCESS_MMAP_INTERLEAVED};
	const struct header *header = jack->header;
	unsigned int format = formats[header->format % (sizeof formats / sizeof *formats)];
	snd_pcm_ioplug_t *io = &jack->io;
	int error = snd_pcm_ioplug_set_param_list(io, SND_PCM_IOPLUG_HW_ACCESS, 2, access);
	if (!error)
		error = snd_pcm_ioplug_set_param_list(io, SND_PCM_IOPLUG_HW_FORMAT, 1, &format);
	if (!error)
		error = snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_CHANNELS, header->channels_min,
							header->channels_max);
	if (!error)
		error = snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_RATE, header->rate, header->rate);
	if (!error)
		error = snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_PERIOD_BYTES, 64, 1 << 16);
	if (!error)
		error = snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_PERIODS, 2, 64);
	return error;
}

SND_PCM_PLUGIN_DEFINE_FUNC(virtual)
{
	snd_config_iterator_t entry, next;
	const char *path = NULL;
	struct jack *jack;
	int error;
	(void)root;
	snd_config_for_each(entry, next, conf) {
		snd_config_t *field = snd_config_iterator_entry(entry);
		const char *id;
		if (snd_config_get_id(field, &id) >= 0 && !strcmp(id, "file"))
			snd_config_get_string(field, &path);
	}
	error = path ? jack_open(path, stream == SND_PCM_STREAM_PLAYBACK, &jack) : -EINVAL;
	if (error)
		return error;
	jack->io.version = SND_PCM_IOPLUG_VERSION;
	jack->io.name = "virtual";
	jack->io.callback = &callbacks;
	jack->io.private_data = jack;
	jack->io.poll_fd = jack->timer;
	jack->io.poll_events = POLLIN;
	error = snd_pcm_ioplug_create(&jack->io, name, stream, mode);
	if (error < 0) {
		jack_close(&jack->io);
		return error;
	}
	error = constrain(jack);
	if (error < 0) {
		snd_pcm_ioplug_delete(&jack->io); /* closes the jack */
		return error;
	}
	jack->header->opens++;
	jack->header->owner = getpid();
	*pcmp = jack->io.pcm;
	return 0;
}
SND_PCM_PLUGIN_SYMBOL(virtual);
