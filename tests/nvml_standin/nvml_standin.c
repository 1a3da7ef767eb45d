/* A stand-in for libnvidia-ml.so.1, for tests on machines without an NVIDIA GPU. What steers it is described in
 * __init__.py. It declares what it needs of nvml.h itself, with the values that NVIDIA documents. */

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MAX_GPUS 16
#define BOOT_MJ 1000000ull /* what the counter held when the clock read zero */

typedef enum {
    NVML_SUCCESS = 0,
    NVML_ERROR_UNINITIALIZED = 1,
    NVML_ERROR_INVALID_ARGUMENT = 2,
    NVML_ERROR_NOT_SUPPORTED = 3,
    NVML_ERROR_NO_PERMISSION = 4,
    NVML_ERROR_NOT_FOUND = 6,
    NVML_ERROR_INSUFFICIENT_SIZE = 7,
    NVML_ERROR_DRIVER_NOT_LOADED = 9,
    NVML_ERROR_GPU_IS_LOST = 15,
    NVML_ERROR_UNKNOWN = 999,
} nvmlReturn_t;

typedef unsigned long long u64;

typedef struct {
    unsigned index;
    unsigned reads;     /* of the counter */
    u64 origin_mj;      /* subtracted after a reset */
    u64 frozen_mj;      /* where it stopped, 0 while it runs */
} gpu_t;

typedef gpu_t *nvmlDevice_t;

/* What was set of a GPU; 0 where nothing was. */
typedef struct {
    unsigned limit_mw, least_mhz, most_mhz;
} setting_t;

typedef struct {
    char bus_id_legacy[16];
    unsigned domain, bus, device, pci_device_id, pci_subsystem_id;
    char bus_id[32];
} nvmlPciInfo_t;

typedef struct {
    u64 total, free, used;
} nvmlMemory_t;

typedef struct {
    unsigned pid;
    u64 used_gpu_memory;
    unsigned gpu_instance_id, compute_instance_id;
} nvmlProcessInfo_t;

typedef struct {
    u64 reference_time_us, violation_time_ns;
} nvmlViolationTime_t;

typedef union {
    double d;
    unsigned ui;
    u64 ull;
} nvmlValue_t;

typedef struct {
    unsigned field_id, scope_id;
    long long timestamp, latency_us;
    unsigned value_type;
    nvmlReturn_t result;
    nvmlValue_t value;
} nvmlFieldValue_t;

#define NVML_FI_DEV_POWER_INSTANT 186
#define NVML_POWER_SCOPE_GPU 0
#define NVML_VALUE_TYPE_UNSIGNED_INT 1
#define NVML_PERF_POLICY_POWER 0
#define NVML_PERF_POLICY_THERMAL 1
#define NVML_CLOCK_SM 1
#define NVML_CLOCK_MEM 2

static gpu_t gpus[MAX_GPUS];
static setting_t settings[MAX_GPUS]; /* where no file keeps them */
static int sessions = 0;

static const char *text(const char *name, const char *otherwise) {
    const char *value = getenv(name);
    return value ? value : otherwise;
}

static double number(const char *name, double otherwise) {
    const char *value = getenv(name);
    return value && *value ? strtod(value, NULL) : otherwise;
}

static unsigned gpu_count(void) {
    unsigned count = (unsigned)number("STANDIN_NVML_GPUS", 1);
    return count < MAX_GPUS ? count : MAX_GPUS;
}

static int is_ordered(const char *fault) {
    const char *at = text("STANDIN_NVML_FAULT", "");
    for (size_t size; *at; at += size + (at[size] == ',')) {
        size = strcspn(at, ",");
        if (size == strlen(fault) && strncmp(at, fault, size) == 0) return 1;
    }
    return 0;
}

static int has_fault(nvmlDevice_t gpu, const char *fault) {
    int at = (int)number("STANDIN_NVML_FAULT_GPU", -1);
    return is_ordered(fault) && (at < 0 || at == (int)gpu->index);
}

/* What every query of a GPU checks first. */
static nvmlReturn_t reach(nvmlDevice_t gpu) {
    if (sessions == 0) return NVML_ERROR_UNINITIALIZED;
    if (gpu < gpus || gpu >= gpus + gpu_count()) return NVML_ERROR_INVALID_ARGUMENT;
    return has_fault(gpu, "lost") ? NVML_ERROR_GPU_IS_LOST : NVML_SUCCESS;
}

static nvmlReturn_t reach_side_reading(nvmlDevice_t gpu) {
    nvmlReturn_t reached = reach(gpu);
    if (reached != NVML_SUCCESS) return reached;
    return has_fault(gpu, "no_side_readings") ? NVML_ERROR_NOT_SUPPORTED : NVML_SUCCESS;
}

/* The driver keeps these for all processes; here a file does. */
static setting_t setting_of(nvmlDevice_t gpu) {
    setting_t found = {0};
    const char *path = text("STANDIN_NVML_STATE", "");
    if (!*path) return settings[gpu->index];
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return found;
    if (pread(file, &found, sizeof found, gpu->index * sizeof found) != sizeof found) found = (setting_t){0};
    close(file);
    return found;
}

static nvmlReturn_t keep(nvmlDevice_t gpu, setting_t wanted) {
    const char *path = text("STANDIN_NVML_STATE", "");
    settings[gpu->index] = wanted;
    if (!*path) return NVML_SUCCESS;
    int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (file < 0) return NVML_ERROR_UNKNOWN;
    int whole = pwrite(file, &wanted, sizeof wanted, gpu->index * sizeof wanted) == sizeof wanted;
    close(file);
    return whole ? NVML_SUCCESS : NVML_ERROR_UNKNOWN;
}

/* What every change of a GPU checks first. */
static nvmlReturn_t reach_to_set(nvmlDevice_t gpu) {
    nvmlReturn_t reached = reach_side_reading(gpu);
    if (reached != NVML_SUCCESS) return reached;
    if (has_fault(gpu, "no_permission")) return NVML_ERROR_NO_PERMISSION;
    return has_fault(gpu, "not_settable") ? NVML_ERROR_NOT_SUPPORTED : NVML_SUCCESS;
}

static nvmlReturn_t write_text(char *out, unsigned length, const char *value) {
    if (strlen(value) + 1 > length) return NVML_ERROR_INSUFFICIENT_SIZE;
    strcpy(out, value);
    return NVML_SUCCESS;
}

static double monotonic_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static unsigned power_mw(void) {
    return (unsigned)(1000.0 * number("STANDIN_NVML_WATTS", 70) * number("STANDIN_NVML_POWER_FACTOR", 1));
}

static u64 energy_mj(void) {
    double time_s = monotonic_s();
    double tick_s = number("STANDIN_NVML_TICK_MS", 20) / 1000.0;
    if (tick_s > 0) time_s = tick_s * (double)(u64)(time_s / tick_s);
    return BOOT_MJ + (u64)(1000.0 * number("STANDIN_NVML_WATTS", 70) * time_s);
}

static void uuid_of(unsigned index, char out[80]) {
    snprintf(out, 80, "GPU-%08u-57a9-4d11-b000-000000000000", index);
}

/* --- the library --- */

nvmlReturn_t nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    if (is_ordered("no_driver")) return NVML_ERROR_DRIVER_NOT_LOADED;
    for (unsigned i = 0; sessions == 0 && i < MAX_GPUS; i++) gpus[i] = (gpu_t){.index = i};
    sessions++;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlInit_v2(void) { return nvmlInitWithFlags(0); }

nvmlReturn_t nvmlShutdown(void) {
    if (sessions == 0) return NVML_ERROR_UNINITIALIZED;
    sessions--;
    return NVML_SUCCESS;
}

const char *nvmlErrorString(nvmlReturn_t result) {
    return result == NVML_SUCCESS ? "Success" : "an error of the stand-in";
}

nvmlReturn_t nvmlSystemGetDriverVersion(char *version, unsigned length) {
    return sessions ? write_text(version, length, "999.00") : NVML_ERROR_UNINITIALIZED;
}

/* --- finding a GPU --- */

nvmlReturn_t nvmlDeviceGetCount_v2(unsigned *count) {
    if (sessions == 0) return NVML_ERROR_UNINITIALIZED;
    *count = gpu_count();
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned index, nvmlDevice_t *gpu) {
    if (index >= gpu_count()) return NVML_ERROR_INVALID_ARGUMENT;
    *gpu = &gpus[index];
    return reach(*gpu);
}

nvmlReturn_t nvmlDeviceGetHandleByUUID(const char *uuid, nvmlDevice_t *gpu) {
    char known[80];
    for (unsigned i = 0; i < gpu_count(); i++) {
        uuid_of(i, known);
        if (strcmp(known, uuid) == 0) return nvmlDeviceGetHandleByIndex_v2(i, gpu);
    }
    return NVML_ERROR_NOT_FOUND;
}

/* --- what it is --- */

nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t gpu, char *uuid, unsigned length) {
    nvmlReturn_t reached = reach(gpu);
    if (reached != NVML_SUCCESS) return reached;
    char known[80];
    uuid_of(gpu->index, known);
    return write_text(uuid, length, known);
}

nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t gpu, char *name, unsigned length) {
    nvmlReturn_t reached = reach(gpu);
    if (reached != NVML_SUCCESS) return reached;
    const char *at = text("STANDIN_NVML_NAMES", "Stand-in GPU"), *next;
    for (unsigned i = 0; i < gpu->index && (next = strchr(at, ';')) != NULL; i++) at = next + 1;
    size_t size = strcspn(at, ";");
    if (size + 1 > length) return NVML_ERROR_INSUFFICIENT_SIZE;
    memcpy(name, at, size);
    name[size] = '\0';
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetPciInfo_v3(nvmlDevice_t gpu, nvmlPciInfo_t *pci) {
    nvmlReturn_t reached = reach(gpu);
    if (reached != NVML_SUCCESS) return reached;
    memset(pci, 0, sizeof *pci);
    pci->bus = gpu->index + 1;
    snprintf(pci->bus_id_legacy, sizeof pci->bus_id_legacy, "0000:%02X:00.0", pci->bus & 0xffu);
    snprintf(pci->bus_id, sizeof pci->bus_id, "00000000:%02X:00.0", pci->bus & 0xffu);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t gpu, nvmlMemory_t *memory) {
    nvmlReturn_t reached = reach_side_reading(gpu);
    if (reached != NVML_SUCCESS) return reached;
    *memory = (nvmlMemory_t){.total = 8ull << 30, .free = 8ull << 30, .used = 0};
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMigMode(nvmlDevice_t gpu, unsigned *current, unsigned *pending) {
    nvmlReturn_t reached = reach_side_reading(gpu);
    if (reached != NVML_SUCCESS) return reached;
    *current = *pending = has_fault(gpu, "mig") ? 1 : 0;
    return NVML_SUCCESS;
}

static nvmlReturn_t limit(nvmlDevice_t gpu, const char *name, unsigned *limit_mw) {
    nvmlReturn_t reached = reach_side_reading(gpu);
    if (reached != NVML_SUCCESS) return reached;
    *limit_mw = (unsigned)(1000.0 * number(name, 100));
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetPowerManagementLimit(nvmlDevice_t gpu, unsigned *limit_mw) {
    nvmlReturn_t read = limit(gpu, "STANDIN_NVML_LIMIT_W", limit_mw);
    unsigned set_mw = read == NVML_SUCCESS ? setting_of(gpu).limit_mw : 0;
    if (set_mw) *limit_mw = set_mw;
    return read;
}

nvmlReturn_t nvmlDeviceGetEnforcedPowerLimit(nvmlDevice_t gpu, unsigned *limit_mw) {
    nvmlReturn_t read = nvmlDeviceGetPowerManagementLimit(gpu, limit_mw);
    unsigned most_mw = (unsigned)(1000.0 * number("STANDIN_NVML_ENFORCED_W", 1e6));
    if (read == NVML_SUCCESS && *limit_mw > most_mw) *limit_mw = most_mw;
    return read;
}

static unsigned least_limit_mw(void) { return (unsigned)(1000.0 * number("STANDIN_NVML_LEAST_LIMIT_W", 50)); }
static unsigned most_limit_mw(void) { return (unsigned)(1000.0 * number("STANDIN_NVML_MOST_LIMIT_W", 300)); }

nvmlReturn_t nvmlDeviceGetPowerManagementLimitConstraints(nvmlDevice_t gpu, unsigned *least_mw, unsigned *most_mw) {
    nvmlReturn_t reached = reach_side_reading(gpu);
    if (reached != NVML_SUCCESS) return reached;
    if (has_fault(gpu, "not_settable")) return NVML_ERROR_NOT_SUPPORTED;
    *least_mw = least_limit_mw();
    *most_mw = most_limit_mw();
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceSetPowerManagementLimit(nvmlDevice_t gpu, unsigned limit_mw) {
    nvmlReturn_t reached = reach_to_set(gpu);
    if (reached != NVML_SUCCESS) return reached;
    if (limit_mw < least_limit_mw() || limit_mw > most_limit_mw()) return NVML_ERROR_INVALID_ARGUMENT;
    setting_t wanted = setting_of(gpu);
    wanted.limit_mw = limit_mw;
    return has_fault(gpu, "deaf") ? NVML_SUCCESS : keep(gpu, wanted);
}

/* NVML tells how many there are where there is no room for them. */
static nvmlReturn_t list_clocks(unsigned first, unsigned step, unsigned found, unsigned *count, unsigned *out_mhz) {
    unsigned room = out_mhz ? *count : 0;
    *count = found;
    if (room < found) return NVML_ERROR_INSUFFICIENT_SIZE;
    for (unsigned i = 0; i < found; i++) out_mhz[i] = first + step * (found - 1 - i);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetSupportedMemoryClocks(nvmlDevice_t gpu, unsigned *count, unsigned *out_mhz) {
    nvmlReturn_t reached = reach_side_reading(gpu);
    if (reached != NVML_SUCCESS) return reached;
    if (has_fault(gpu, "not_settable")) return NVML_ERROR_NOT_SUPPORTED;
    return list_clocks(400, 600, 2, count, out_mhz);
}

/* From 300 MHz by 15, the more the faster the memory is. */
nvmlReturn_t nvmlDeviceGetSupportedGraphicsClocks(nvmlDevice_t gpu, unsigned memory_mhz, unsigned *count, unsigned *out_mhz) {
    nvmlReturn_t reached = reach_side_reading(gpu);
    if (reached != NVML_SUCCESS) return reached;
    if (memory_mhz != 400 && memory_mhz != 1000) return NVML_ERROR_NOT_FOUND;
    return list_clocks(300, 15, memory_mhz == 1000 ? 81 : 2, count, out_mhz);
}

nvmlReturn_t nvmlDeviceSetGpuLockedClocks(nvmlDevice_t gpu, unsigned least_mhz, unsigned most_mhz) {
    nvmlReturn_t reached = reach_to_set(gpu);
    if (reached != NVML_SUCCESS) return reached;
    setting_t wanted = setting_of(gpu);
    wanted.least_mhz = least_mhz;
    wanted.most_mhz = most_mhz;
    return has_fault(gpu, "deaf") ? NVML_SUCCESS : keep(gpu, wanted);
}

nvmlReturn_t nvmlDeviceResetGpuLockedClocks(nvmlDevice_t gpu) {
    nvmlReturn_t reached = reach_to_set(gpu);
    if (reached != NVML_SUCCESS) return reached;
    setting_t wanted = setting_of(gpu);
    wanted.least_mhz = wanted.most_mhz = 0;
    return keep(gpu, wanted);
}

nvmlReturn_t nvmlDeviceGetPowerManagementDefaultLimit(nvmlDevice_t gpu, unsigned *limit_mw) {
    return limit(gpu, "STANDIN_NVML_DEFAULT_LIMIT_W", limit_mw);
}

/* --- what it does --- */

nvmlReturn_t nvmlDeviceGetTotalEnergyConsumption(nvmlDevice_t gpu, u64 *counter_mj) {
    nvmlReturn_t reached = reach(gpu);
    if (reached != NVML_SUCCESS) return reached;
    if (has_fault(gpu, "no_counter")) return NVML_ERROR_NOT_SUPPORTED;
    u64 now_mj = energy_mj();
    gpu->reads++;
    if (!has_fault(gpu, "frozen")) gpu->frozen_mj = 0;
    else if (gpu->frozen_mj == 0) gpu->frozen_mj = now_mj;
    if (has_fault(gpu, "reset") && gpu->origin_mj == 0 && gpu->reads > number("STANDIN_NVML_RESET_AFTER", 1))
        gpu->origin_mj = now_mj - 1;
    *counter_mj = has_fault(gpu, "zero") ? 0 : (gpu->frozen_mj ? gpu->frozen_mj : now_mj) - gpu->origin_mj;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetPowerUsage(nvmlDevice_t gpu, unsigned *out_mw) {
    nvmlReturn_t reached = reach(gpu);
    if (reached != NVML_SUCCESS) return reached;
    if (has_fault(gpu, "no_power")) return NVML_ERROR_NOT_SUPPORTED;
    *out_mw = power_mw();
    return NVML_SUCCESS;
}

/* The call succeeds, and each field says for itself whether it is there. */
nvmlReturn_t nvmlDeviceGetFieldValues(nvmlDevice_t gpu, int count, nvmlFieldValue_t *fields) {
    nvmlReturn_t reached = reach(gpu);
    if (reached != NVML_SUCCESS) return reached;
    int offered = !has_fault(gpu, "no_instant") && !has_fault(gpu, "no_power");
    for (int i = 0; i < count; i++) {
        nvmlFieldValue_t *field = &fields[i];
        int known = field->field_id == NVML_FI_DEV_POWER_INSTANT && field->scope_id == NVML_POWER_SCOPE_GPU;
        field->result = offered && known ? NVML_SUCCESS : NVML_ERROR_NOT_SUPPORTED;
        field->value_type = NVML_VALUE_TYPE_UNSIGNED_INT;
        field->value.ull = 0xa5a5a5a500000000ull; /* what is beside a value of 32 bits is anything */
        field->value.ui = power_mw();
    }
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetViolationStatus(nvmlDevice_t gpu, int policy, nvmlViolationTime_t *held) {
    nvmlReturn_t reached = reach_side_reading(gpu);
    if (reached != NVML_SUCCESS) return reached;
    if (policy != NVML_PERF_POLICY_POWER && policy != NVML_PERF_POLICY_THERMAL) return NVML_ERROR_NOT_SUPPORTED;
    int thermal = policy == NVML_PERF_POLICY_THERMAL;
    double share = number(thermal ? "STANDIN_NVML_HELD_THERMAL" : "STANDIN_NVML_HELD_POWER", 0);
    double now_s = monotonic_s();
    *held = (nvmlViolationTime_t){(u64)(1e6 * now_s), (u64)(1e9 * share * now_s)};
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetClockInfo(nvmlDevice_t gpu, int clock, unsigned *mhz) {
    nvmlReturn_t reached = reach_side_reading(gpu);
    if (reached != NVML_SUCCESS) return reached;
    if (clock != NVML_CLOCK_SM && clock != NVML_CLOCK_MEM) return NVML_ERROR_INVALID_ARGUMENT;
    *mhz = (unsigned)number(clock == NVML_CLOCK_SM ? "STANDIN_NVML_SM_MHZ" : "STANDIN_NVML_MEMORY_MHZ", 1000);
    setting_t fixed = setting_of(gpu);
    if (clock != NVML_CLOCK_SM || fixed.most_mhz == 0) return NVML_SUCCESS;
    if (*mhz < fixed.least_mhz) *mhz = fixed.least_mhz;
    if (*mhz > fixed.most_mhz) *mhz = fixed.most_mhz;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetTemperature(nvmlDevice_t gpu, int sensor, unsigned *temperature_c) {
    nvmlReturn_t reached = reach_side_reading(gpu);
    if (reached != NVML_SUCCESS) return reached;
    if (sensor != 0) return NVML_ERROR_INVALID_ARGUMENT;
    *temperature_c = (unsigned)number("STANDIN_NVML_TEMPERATURE_C", 40) + gpu->index;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetCurrentClocksEventReasons(nvmlDevice_t gpu, u64 *reasons) {
    nvmlReturn_t reached = reach_side_reading(gpu);
    if (reached != NVML_SUCCESS) return reached;
    *reasons = strtoull(text("STANDIN_NVML_EVENT_REASONS", "0"), NULL, 0);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t gpu, unsigned *count, nvmlProcessInfo_t *out) {
    nvmlReturn_t reached = reach_side_reading(gpu);
    if (reached != NVML_SUCCESS) return reached;
    unsigned room = *count, found = 0;
    const char *at = text("STANDIN_NVML_PIDS", "");
    while (*at) {
        unsigned pid = strncmp(at, "self", 4) == 0 ? (unsigned)getpid() : (unsigned)strtoul(at, NULL, 10);
        if (found < room) out[found] = (nvmlProcessInfo_t){pid, 1ull << 20, 0xffffffffu, 0xffffffffu};
        found++;
        at += strcspn(at, ",");
        if (*at) at++;
    }
    *count = found;
    return found > room ? NVML_ERROR_INSUFFICIENT_SIZE : NVML_SUCCESS;
}
