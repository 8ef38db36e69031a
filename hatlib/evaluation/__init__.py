"""PSNR and SSIM on data sets by the protocol of the papers, and published values. May import
`inference` and below."""
