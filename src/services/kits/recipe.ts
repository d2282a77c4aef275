/** What goes into a kit, as tables. Everything comes from Debian 13 (trixie), whatever the host runs. */
import type { Arch } from '../../model/machine.ts'

export const SUITE = 'trixie'
/** Raised when the way a kit is put together changes, so that an older kit is not taken for the same. */
export const RECIPE_VERSION = 6

export const FLAVOURS = {
  full: { kernel: 'linux-image-', means: 'every driver: physical machines' },
  cloud: { kernel: 'linux-image-cloud-', means: 'virtual machines only: a smaller kernel that starts sooner' },
} as const
export type Flavour = keyof typeof FLAVOURS

/** The package that names the newest kernel. */
export function kernelPackage(flavour: Flavour, architecture: Arch): string {
  return `${FLAVOURS[flavour].kernel}${architecture}`
}

/** Programs of the initrd: `from` is their path in the package. They land in /tools beside their libraries. */
export const PROGRAMS = [
  { package: 'busybox-static', from: 'usr/bin/busybox' },
  { package: 'dropbear-bin', from: 'usr/sbin/dropbear' },
  { package: 'tar', from: 'usr/bin/tar' },
  { package: 'coreutils', from: 'usr/bin/env' },
  { package: 'coreutils', from: 'usr/bin/tail' },
  { package: 'coreutils', from: 'usr/sbin/chroot' },
  { package: 'util-linux', from: 'usr/bin/fallocate' },
  { package: 'bsdutils', from: 'usr/bin/script' },
  { package: 'dmsetup', from: 'usr/sbin/dmsetup' },
] as const

/**
 * Programs that only the agent needs: what speaks to the BMC from inside the machine, and to disks about erasing themselves. They and
 * the libraries that the initrd does not have are a file of their own, which the agent fetches, so that containers start without them.
 */
export const AGENT_PROGRAMS = [
  { package: 'freeipmi-tools', from: 'usr/sbin/ipmi-raw' },
  { package: 'hdparm', from: 'usr/sbin/hdparm' },
  { package: 'nvme-cli', from: 'usr/sbin/nvme' },
] as const

/** Files of the package `ipxe` that a kit offers to firmware, by the name that boot services ask for. */
export const IPXE_FILES = [
  'undionly.kpxe',
  'undionly.kkpxe',
  'ipxe.pxe',
  'ipxe.lkrn',
  'snponly.efi',
  'ipxe-amd64.efi',
  'ipxe-arm64.efi',
  'ipxe.iso',
] as const

interface PackagedFile {
  readonly package: string
  /** Its path in the package. */
  readonly from: string
}

/** What firmware starts from a medium that holds all of a boot, by architecture; in the kit they lie under `media/`. */
export const MEDIA_LOADERS: Readonly<Record<Arch, readonly PackagedFile[]>> = {
  amd64: [
    { package: 'systemd-boot-efi', from: 'usr/lib/systemd/boot/efi/systemd-bootx64.efi' },
    { package: 'isolinux', from: 'usr/lib/ISOLINUX/isolinux.bin' },
    { package: 'isolinux', from: 'usr/lib/ISOLINUX/isohdpfx.bin' },
    { package: 'syslinux-common', from: 'usr/lib/syslinux/modules/bios/ldlinux.c32' },
  ],
  arm64: [{ package: 'systemd-boot-efi', from: 'usr/lib/systemd/boot/efi/systemd-bootaa64.efi' }],
}

/**
 * GRUB for 32-bit UEFI on a processor that has 64 bits, with the module that it lacks, by the name that it asks for below `grub/`; in the kit they
 * lie under that name too.
 */
export const GRUB_FILES: Readonly<Record<Arch, Readonly<Record<string, PackagedFile>>>> = {
  amd64: {
    'grubnetia32.efi': {
      package: 'grub-efi-ia32-unsigned',
      from: 'usr/lib/grub/i386-efi/monolithic/grubnetia32.efi',
    },
    'i386-efi/http.mod': { package: 'grub-efi-ia32-bin', from: 'usr/lib/grub/i386-efi/http.mod' },
  },
  arm64: {},
}

/** Modules by what they are for. Those that a kernel has built in, or has not at all (cloud), are left out and noted. */
export const MODULES = {
  virtual:
    'virtio_pci virtio_mmio virtio_net virtio_blk virtio_scsi virtio_rng virtio_console virtio_balloon vmxnet3 hv_netvsc hv_storvsc ena gve',
  intel: 'e1000 e1000e igb igc ixgbe ixgbevf i40e iavf ice',
  broadcom: 'tg3 bnx2 bnx2x bnxt_en b44',
  mellanox: 'mlx4_core mlx4_en mlx5_core',
  otherNic:
    'r8169 8139cp 8139too atlantic alx atl1c sky2 forcedeth sfc cxgb4 qede qlcnic be2net enic ionic realtek broadcom marvell',
  usbHost: 'xhci_pci ehci_pci uhci_hcd ohci_pci usbhid hid_generic atkbd i8042',
  usbNic: 'usbnet cdc_ether cdc_ncm cdc_subset rndis_host r8152 ax88179_178a asix smsc75xx smsc95xx lan78xx aqc111',
  storage: 'nvme ahci ata_piix ata_generic sd_mod sr_mod usb_storage uas megaraid_sas mpt3sas hpsa smartpqi aacraid sg',
  fileSystems: 'overlay erofs squashfs isofs ext4 xfs vfat nls_cp437 nls_ascii nls_utf8 fuse autofs4 efivarfs configfs',
  block: 'nbd loop dm_mod dm_multipath dm_service_time dm_verity dm_crypt',
  nfs: 'nfs nfsv4',
  // What libcrc32c, and so EROFS, asks for when it starts: a module of its own in the full kernel.
  checksums: 'crc32c_generic',
  management: 'ipmi_si ipmi_devintf ipmi_ssif acpi_ipmi tpm_tis tpm_crb',
  network: 'af_packet 8021q bonding bridge veth ipv6',
} as const

/**
 * Modules that lie unpacked in every initrd, with what they need: what a root over NBD waits for one after the other, and the
 * adapter of virtual machines, where a processor is slowest at unpacking. 2.5 MB of initrd for 0.6 s of emulated time (docs/measurements.md).
 */
export const UNPACKED_MODULES =
  'nbd loop dm_mod dm_multipath dm_service_time dm_verity erofs overlay crc32c_generic sha256_ssse3 virtio_net virtio_pci af_packet'

/** What processors are quick at, and adapters that are part of one, and what they hang on. */
export const MODULES_OF: Readonly<Record<Arch, string>> = {
  amd64: 'sha256_ssse3 crc32c_intel',
  arm64:
    'sha2_ce sha256_arm64 hns3 hclge hclgevf nicvf nicpf mvneta mvpp2 genet macb dwmac_rk dwmac_sun8i xgene_enet fsl_dpaa2_eth fsl_enetc fec thunder_bgx pcie_rockchip_host',
}

export function moduleNames(architecture: Arch): string[] {
  return [...Object.values(MODULES), MODULES_OF[architecture]].flatMap((names) => names.split(' ')).filter(Boolean)
}
